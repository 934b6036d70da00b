#!/bin/sh
# The dbt model of the customer summary, made again when the columns of the orders change.
set -eu
cd "$(dirname "$0")"
bayesseg sql --dialect postgres --table shop.orders --customer-id customer_id --date ordered_at \
    --amount total --order-id order_id --as-of 2025-06-30 --dbt >models/customer_summary.sql
