-- dbt test: fails with the table whose last push is older than the days allowed
SELECT table_name, MAX(as_of) AS as_of
FROM crm.bayesseg_runs
WHERE action = 'push'
GROUP BY table_name
HAVING MAX(as_of) < CAST('{{ var("as_of") }}' AS DATE) - {{ var("stale_after_days") }}
