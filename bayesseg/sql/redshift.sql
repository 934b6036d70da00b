-- Transpiled from duckdb.sql by tests/transpiled.py; edit that one.

-- step: bayesseg_told
SELECT
  *,
  CASE
    WHEN order_id IS NULL
    THEN 1
    ELSE RANK() OVER (
      PARTITION BY order_id, customer_id, recorded_day
      ORDER BY of_order DESC NULLS LAST, extract_name
    )
  END AS place
FROM (
  SELECT
    *,
    COUNT(*) OVER (PARTITION BY order_id, customer_id, recorded_day, extract_name) AS of_order
  FROM bayesseg_read
) AS counted

-- step: bayesseg_source
SELECT
  customer_id,
  recorded_day AS purchase_day,
  recorded_day,
  amount_and_carried
FROM bayesseg_lines

-- step: bayesseg_source/orders
SELECT
  customer_id,
  CASE
    WHEN amount < 0 AND NOT order_id IS NULL AND sold < recorded_day
    THEN sold
    ELSE recorded_day
  END AS purchase_day,
  recorded_day,
  order_id,
  amount_and_carried
FROM (
  SELECT
    customer_id,
    recorded_day,
    order_id,
    amount_and_carried,
    MAX(CASE WHEN amount >= 0 THEN recorded_day END) OVER (
      PARTITION BY customer_id, order_id
      ORDER BY recorded_day NULLS FIRST, amount DESC NULLS LAST
      ROWS BETWEEN UNBOUNDED PRECEDING AND CURRENT ROW
    ) AS sold
  FROM bayesseg_lines
) AS lined

-- step: daily
SELECT
  customer_id,
  purchase_day,
  SUM(amount) AS net,
  MIN(amount) AS lowest,
  COUNT(*) AS row_count,
  MAX(CASE WHEN amount >= 0 THEN 1 ELSE 0 END) AS orders
FROM bayesseg_source
WHERE
  recorded_day <= CAST('0001-01-01' AS DATE)
GROUP BY
  customer_id,
  purchase_day

-- step: daily/orders
SELECT
  customer_id,
  purchase_day,
  SUM(amount) AS net,
  MIN(amount) AS lowest,
  COUNT(*) AS row_count,
  COUNT(DISTINCT CASE WHEN amount >= 0 THEN order_id END) + MAX(CASE WHEN amount >= 0 AND order_id IS NULL THEN 1 ELSE 0 END) AS orders
FROM bayesseg_source
WHERE
  recorded_day <= CAST('0001-01-01' AS DATE)
GROUP BY
  customer_id,
  purchase_day

-- step: held
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

-- step: held/cost
SELECT
  daily.customer_id,
  daily.purchase_day,
  net - cost AS net,
  row_count,
  orders
FROM daily
JOIN (
  SELECT
    customer_id,
    purchase_day,
    SUM(cost) AS cost
  FROM bayesseg_source
  WHERE
    recorded_day <= CAST('0001-01-01' AS DATE)
  GROUP BY
    customer_id,
    purchase_day
) AS spent
  ON daily.customer_id = spent.customer_id AND daily.purchase_day = spent.purchase_day
WHERE
  net > 0 OR (
    net = 0 AND lowest >= 0
  )

-- step: bought
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

-- step: customers
SELECT
  customer_id,
  COUNT(*) - 1 AS x,
  DATEDIFF(DAY, MIN(first_day), MAX(purchase_day)) AS t_x,
  DATEDIFF(DAY, MIN(first_day), CAST('0001-01-01' AS DATE)) AS t_end,
  SUM(CASE WHEN purchase_day > first_day AND net > 0 THEN 1 ELSE 0 END) AS x_paid,
  CAST(SUM(CASE WHEN purchase_day > first_day THEN net ELSE 0 END) AS DOUBLE PRECISION) AS repeat_spend,
  CAST(SUM(CASE WHEN purchase_day = first_day THEN net ELSE 0 END) AS DOUBLE PRECISION) AS first_spend,
  SUM(orders) AS n_orders,
  SUM(row_count) AS row_count,
  CAST('0001-01-01' AS DATE) AS as_of,
  CAST('revenue' AS VARCHAR(MAX)) AS money
FROM bought
GROUP BY
  customer_id

-- step: histogram
SELECT
  x,
  t_x,
  t_end,
  x_paid,
  repeat_spend,
  COUNT(*) AS n,
  as_of,
  money
FROM customers
GROUP BY
  x,
  t_x,
  t_end,
  x_paid,
  repeat_spend,
  as_of,
  money

-- step: histories
SELECT
  x,
  t_x,
  t_end,
  COUNT(*) AS n,
  as_of,
  money
FROM customers
GROUP BY
  x,
  t_x,
  t_end,
  as_of,
  money

-- step: bayesseg_priced
SELECT
  summed.customer_id,
  looked.model_id,
  looked.x,
  looked.p_alive,
  looked.p_churn,
  looked.expected_purchases,
  looked.discounted_purchases,
  looked.residual_purchases,
  looked.purchases_at_risk,
  looked.win_back_purchases,
  looked.extrapolated,
  spend.x_paid,
  spend.worth,
  spend.spend_base + spend.spend_slope * summed.repeat_spend AS expected_spend
FROM customers AS summed
LEFT JOIN bayesseg_lookup AS looked
  ON summed.x = looked.x AND summed.t_x = looked.t_x AND summed.t_end = looked.t_end
LEFT JOIN bayesseg_spend AS spend
  ON summed.x_paid = spend.x_paid
  AND summed.money = spend.money
  AND looked.model_id = spend.model_id

-- step: scores
SELECT
  customer_id,
  p_alive,
  p_churn,
  expected_purchases,
  expected_spend,
  discounted_purchases * worth * expected_spend AS clv,
  residual_purchases * worth * expected_spend AS residual_value,
  purchases_at_risk * worth * expected_spend AS value_at_risk,
  win_back_purchases * worth * expected_spend AS win_back_value,
  extrapolated,
  model_id
FROM bayesseg_priced

-- step: found
SELECT
  reason,
  COUNT(*) AS n_customers
FROM (
  SELECT
    CASE
      WHEN x IS NULL
      THEN 'history_missing'
      WHEN p_alive IS NULL
      THEN 'purchases_withheld'
      WHEN x_paid IS NULL
      THEN 'spend_missing'
      WHEN expected_spend IS NULL
      THEN 'spend_undefined'
      ELSE 'scored'
    END AS reason
  FROM bayesseg_priced
) AS told
GROUP BY
  reason
UNION ALL
SELECT
  'scored_again',
  (
    SELECT
      COUNT(*)
    FROM bayesseg_priced
  ) - (
    SELECT
      COUNT(*)
    FROM customers
  )
