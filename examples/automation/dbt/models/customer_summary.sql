{{ config(materialized='table') }}
-- bayesseg, postgres: the customer summary: one row a customer.
-- As of {{ var("as_of", "2025-06-30") }}, inclusive. Money is revenue.
-- Days are as the date column has them.
-- Refunds are netted within their order's last day before them; exact copies are kept.
-- Lines without customer, day or amount, of days before 1980-01-01, or of an id
-- that is a word for nobody (guest), are left out: bayesseg sql --account counts them.
-- Whether an id 0, or one with three tenths of all lines, is somebody is for you to judge.
-- A purchase is a day that nets to more than nothing, or is free; times are whole days.
WITH bayesseg_read AS (
SELECT
  CAST("customer_id" AS VARCHAR) AS customer_id,
  CAST("ordered_at" AS DATE) AS recorded_day,
  CAST(CAST("total" AS DECIMAL(18, 6)) AS DECIMAL(18, 4)) AS amount,
  CASE WHEN TRIM(CAST("order_id" AS VARCHAR)) <> '' THEN CAST("order_id" AS VARCHAR) END AS order_id
FROM {{ source('shop', 'orders') }}
), bayesseg_typed AS (
SELECT customer_id, recorded_day, amount, order_id,
  CASE
    WHEN customer_id IS NULL OR TRIM(customer_id) = '' THEN 'id_missing'
    WHEN LOWER(TRIM(customer_id)) IN ('-1', 'guest', 'guests', 'anonymous', 'anonyme', 'anon', 'unknown', 'inconnu', 'inconnue', 'undefined', 'client_divers', 'clientdivers', 'divers', 'passage', 'comptoir', 'invité', 'invite', 'walk-in', 'walkin', 'cash', 'counter', 'test', 'dummy', 'xxx', 'nobody', 'total', 'grand total', 'total général', 'subtotal', 'sous-total') THEN 'placeholder'
    WHEN recorded_day IS NULL THEN 'date_missing'
    WHEN recorded_day < CAST('1980-01-01' AS DATE) THEN 'date_too_early'
    WHEN amount IS NULL THEN 'amount_missing'
    WHEN recorded_day > CAST('{{ var("as_of", "2025-06-30") }}' AS DATE) THEN 'after_as_of'
    ELSE 'used'
  END AS reason
FROM bayesseg_read
), bayesseg_lines AS (
SELECT customer_id, recorded_day, amount, order_id FROM bayesseg_typed WHERE reason = 'used'
), bayesseg_source AS (
SELECT
  customer_id,
  CASE
    WHEN amount < 0 AND NOT order_id IS NULL AND sold < recorded_day
    THEN sold
    ELSE recorded_day
  END AS purchase_day,
  recorded_day,
  order_id,
  amount
FROM (
  SELECT
    customer_id,
    recorded_day,
    order_id,
    amount,
    MAX(CASE WHEN amount >= 0 THEN recorded_day END) OVER (
      PARTITION BY customer_id, order_id
      ORDER BY recorded_day NULLS FIRST, amount DESC NULLS LAST
      ROWS BETWEEN UNBOUNDED PRECEDING AND CURRENT ROW
    ) AS sold
  FROM bayesseg_lines
) AS lined
), daily AS (
SELECT
  customer_id,
  purchase_day,
  SUM(amount) AS net,
  MIN(amount) AS lowest,
  COUNT(*) AS row_count,
  COUNT(DISTINCT CASE WHEN amount >= 0 THEN order_id END) + MAX(CASE WHEN amount >= 0 AND order_id IS NULL THEN 1 ELSE 0 END) AS orders
FROM bayesseg_source
WHERE
  recorded_day <= CAST('{{ var("as_of", "2025-06-30") }}' AS DATE)
GROUP BY
  customer_id,
  purchase_day
), held AS (
SELECT
  customer_id,
  purchase_day,
  net,
  row_count,
  orders
FROM daily
WHERE
  net > 0 OR (
    net = 0 AND lowest >= 0
  )
), bought AS (
SELECT
  held.customer_id,
  purchase_day,
  CASE WHEN net > 0 THEN net ELSE 0 END AS net,
  CASE WHEN net < 0 THEN net ELSE 0 END AS loss,
  row_count,
  orders,
  first_day
FROM held
JOIN (
  SELECT
    customer_id,
    MIN(purchase_day) AS first_day
  FROM held
  GROUP BY
    customer_id
) AS born
  ON held.customer_id = born.customer_id
)
SELECT
  customer_id,
  COUNT(*) - 1 AS x,
  (
    CAST(MAX(purchase_day) AS DATE) - CAST(MIN(first_day) AS DATE)
  ) AS t_x,
  (
    CAST('{{ var("as_of", "2025-06-30") }}' AS DATE) - CAST(MIN(first_day) AS DATE)
  ) AS t_end,
  SUM(CASE WHEN purchase_day > first_day AND net > 0 THEN 1 ELSE 0 END) AS x_paid,
  CAST(SUM(CASE WHEN purchase_day > first_day THEN net ELSE 0 END) AS DOUBLE PRECISION) AS repeat_spend,
  CAST(SUM(CASE WHEN purchase_day = first_day THEN net ELSE 0 END) AS DOUBLE PRECISION) AS first_spend,
  SUM(orders) AS n_orders,
  SUM(row_count) AS row_count,
  CAST('{{ var("as_of", "2025-06-30") }}' AS DATE) AS as_of,
  CAST('revenue' AS TEXT) AS money
FROM bought
GROUP BY
  customer_id
