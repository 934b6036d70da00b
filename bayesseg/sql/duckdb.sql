-- Purchase rows to one row a customer. A purchase is a day on which a customer's lines net to more
-- than nothing, or to nothing without any refund. The first day of year 1 stands for the last
-- day observed.
WITH daily AS (
  SELECT customer_id, purchase_day, SUM(amount) AS net, MIN(amount) AS lowest, COUNT(*) AS row_count,
         COUNT(DISTINCT CASE WHEN amount >= 0 THEN order_id END) + -- where orders have ids
         MAX(CASE WHEN amount >= 0 AND order_id IS NULL THEN 1 ELSE 0 END) AS orders
  FROM bayesseg_source WHERE recorded_day <= DATE '0001-01-01'
  GROUP BY customer_id, purchase_day
), held AS (
  SELECT customer_id, purchase_day, net, row_count, orders
  FROM daily WHERE net > 0 OR (net = 0 AND lowest >= 0)
), bought AS ( -- a join, for a window would sort every purchase
  SELECT held.customer_id, purchase_day, net, row_count, orders, first_day
  FROM held JOIN (SELECT customer_id, MIN(purchase_day) AS first_day FROM held
                  GROUP BY customer_id) AS born ON held.customer_id = born.customer_id
)
-- then
SELECT customer_id, COUNT(*) - 1 AS x,
       DATE_DIFF('day', MIN(first_day), MAX(purchase_day)) AS t_x,
       DATE_DIFF('day', MIN(first_day), DATE '0001-01-01') AS t_end,
       SUM(CASE WHEN purchase_day > first_day AND net > 0 THEN 1 ELSE 0 END) AS x_paid,
       CAST(SUM(CASE WHEN purchase_day > first_day THEN net ELSE 0 END) AS DOUBLE) AS repeat_spend,
       CAST(SUM(CASE WHEN purchase_day = first_day THEN net ELSE 0 END) AS DOUBLE) AS first_spend,
       SUM(orders) AS n_orders, SUM(row_count) AS row_count
FROM bought GROUP BY customer_id ORDER BY customer_id
