#!/bin/sh
# Fit once a week, score and push every night. README.md has the settings, all of them variables.
# Run it twice and the second time changes nothing; kill it and run it again.
set -u

: "${DATA:?the purchase log: a file, or env:NAME of a database}"
: "${RUNS:=runs}" "${SCORES:=scores}" "${MODEL:=retail}"
: "${TABLE:=crm.scores}" "${DSN:=BAYESSEG_DSN}"
: "${TRIES:=4}" "${PAUSE:=60}"
: "${SOURCE_FLAGS:=}" "${FIT_FLAGS:=}" "${SCORE_FLAGS:=}" "${PUSH_FLAGS:=}"
# the last whole day; GNU and BSD spell yesterday differently
: "${DAY:=$(date -u -d yesterday +%F 2>/dev/null || date -u -v-1d +%F)}"
export BAYESSEG_LOG="${BAYESSEG_LOG:-json}"

say() {
    printf '{"time": "%s", "level": "%s", "verb": "nightly", "message": "%s"}\n' \
        "$(date -u +%FT%TZ)" "$1" "$2" >&2
}

# A command, again while that may help: 6 the destination failed, 8 somebody else is writing.
attempt() {
    tried=1
    while :; do
        "$@"
        code=$?
        case $code in
            6 | 8) [ "$tried" -lt "$TRIES" ] || return "$code" ;;
            *) return "$code" ;;
        esac
        say warn "exit $code of $2: attempt $tried of $TRIES, again in $((PAUSE * tried)) s"
        sleep $((PAUSE * tried))
        tried=$((tried + 1))
    done
}

# What no second attempt mends: what stands at the destination stays as it is.
stop() {
    case $1 in
        3) say error "the data of $DAY are refused: see the message, mend the extract" ;;
        4)
            if grep -q '"code": "older_run"' "$pushed" 2>/dev/null; then
                say error "newer scores than those of $DAY stand there: nothing to do"
            else
                say error "a gate failed: somebody has to look, then --force --reason or a refit"
            fi
            ;;
        5) say error "a run or score file is damaged: remove it, and run this again" ;;
        6) say error "the destination failed $TRIES times: run this again later" ;;
        7) say error "the rows or the table do not fit: nothing was written, see the message" ;;
        8) say error "another night is still at work" ;;
        9) say error "access, memory, disk or a package is missing: see the message" ;;
        130 | 143) say error "stopped: run this again" ;;
        *) say error "exit $1: see the message" ;;
    esac
    exit "$1"
}

case $DATA in
    env:*) log="--from $DATA" ;;
    *) log=$DATA ;;
esac
mkdir -p "$RUNS" "$SCORES"
week=$(python -c 'import datetime as d, sys
print("%d-W%02d" % d.date.fromisoformat(sys.argv[1]).isocalendar()[:2])' "$DAY") || exit 2
run="$RUNS/$week"
latest=$(find "$RUNS" -mindepth 1 -maxdepth 1 -type d -name '????-W??' | sort | tail -n 1)
# segments, where the model has them, keep their ids and names from week to week
previous=
grep -q '^\[segments' "$latest/spec.toml" 2>/dev/null && previous=$latest
worst=0
pushed="$SCORES/$DAY.pushed"

# shellcheck disable=SC2086 # flags are several words
if [ ! -d "$run" ] && [ ! -d "$run.untrusted" ]; then
    attempt bayesseg fit $log --as-of "$DAY" --model "$MODEL" ${previous:+--previous "$previous"} \
        -o "$run" --force $SOURCE_FLAGS $FIT_FLAGS # what a killed fit left is of another day
    code=$?
    case $code in
        0) ;;
        4) worst=4 ;; # kept as RUN.untrusted, or with a lost segment; last week's run serves
        *) stop "$code" ;;
    esac
fi
if [ ! -d "$run" ]; then
    [ -n "$latest" ] || stop 4
    say warn "no trusted run of $week: going on with $latest"
    run=$latest
fi

scores="$SCORES/$DAY.parquet"
# shellcheck disable=SC2086
if [ ! -f "$SCORES/$DAY.json" ]; then # written last: what a killed score left is written over
    attempt bayesseg score "$run" $log --as-of "$DAY" -o "$scores" --force \
        $SOURCE_FLAGS $SCORE_FLAGS || stop $?
fi

# shellcheck disable=SC2086
attempt bayesseg push "$scores" --to postgres --table "$TABLE" --dsn "env:$DSN" --json \
    $PUSH_FLAGS >"$pushed"
code=$?
cat "$pushed"
[ "$code" -eq 0 ] || stop "$code"
rm -f "$pushed"
say info "$DAY done, exit $worst"
exit "$worst"
