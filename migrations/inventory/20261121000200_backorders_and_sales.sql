-- Backorders, set-asides of flash sales, counts and the snapshot; old code works on it as before.

ALTER TABLE items
    -- Units that orders may wait for in all; null: no order may wait.
    ADD COLUMN backorder_limit bigint CHECK (backorder_limit >= 0);

ALTER TABLE stock
    -- Units that orders wait for, counted at any one place of the sku.
    ADD COLUMN backordered bigint NOT NULL DEFAULT 0 CHECK (backordered >= 0);
CREATE INDEX stock_awaited ON stock (sku_key) WHERE backordered > 0;

ALTER TABLE holds DROP CONSTRAINT holds_status_check;
ALTER TABLE holds ADD CONSTRAINT holds_status_check
    CHECK (status IN ('WAITING', 'HELD', 'CONFIRMED', 'RELEASED', 'EXPIRED'));

-- A sku may come from ordinary stock and from a sale in one order. The foreign
-- key goes: it costs a look-up per line on the busiest path, both tables are
-- written by one statement, and hold_violations shows what would not fit.
ALTER TABLE hold_lines ADD COLUMN sale_id uuid;
ALTER TABLE hold_lines DROP CONSTRAINT hold_lines_order_id_fkey;
ALTER TABLE hold_lines DROP CONSTRAINT hold_lines_pkey;
CREATE UNIQUE INDEX hold_lines_once
    ON hold_lines (order_id, sku_key, warehouse, sale_id) NULLS NOT DISTINCT;

-- What a flash sale carved out, and what it has left.
CREATE TABLE set_asides (
    sale_id    uuid NOT NULL,
    sku_key    text NOT NULL,
    warehouse  text NOT NULL,
    carved     bigint NOT NULL CHECK (carved > 0),
    units_left bigint NOT NULL CHECK (units_left >= 0),
    made_at    timestamptz NOT NULL,
    -- Set when the sale ended: nothing is left from then on.
    ended_at   timestamptz,
    PRIMARY KEY (sale_id, sku_key, warehouse),
    FOREIGN KEY (sku_key, warehouse) REFERENCES stock,
    CHECK (ended_at IS NULL OR units_left = 0)
);

-- Orders that wait for units, in order of arrival.
CREATE TABLE backorders (
    position bigint GENERATED ALWAYS AS IDENTITY,
    order_id uuid NOT NULL,
    sku_key  text NOT NULL,
    open     bigint NOT NULL CHECK (open > 0),
    PRIMARY KEY (order_id, sku_key)
);
CREATE INDEX backorders_queue ON backorders (sku_key, position);

-- Device readings that took effect, so that one sent twice counts once.
CREATE TABLE readings (
    device_id  text NOT NULL,
    reading_id text NOT NULL,
    at         timestamptz NOT NULL,
    PRIMARY KEY (device_id, reading_id)
);

-- Stock as the event log tells it: a read model that can be rebuilt.
CREATE TABLE stock_snapshot (
    sku_key    text NOT NULL,
    warehouse  text NOT NULL,
    sku        text NOT NULL,
    product_id uuid NOT NULL,
    on_hand    bigint NOT NULL,
    held       bigint NOT NULL,
    allocated  bigint NOT NULL,
    set_aside  bigint NOT NULL,
    available  bigint NOT NULL,
    -- The aggregate version of the event it shows.
    version    bigint NOT NULL,
    PRIMARY KEY (sku_key, warehouse)
) WITH (fillfactor = 70);

CREATE OR REPLACE VIEW hold_violations AS
SELECT s.sku_key, s.warehouse, s.held, s.allocated, t.held AS lines_held,
       t.allocated AS lines_allocated
FROM stock s
FULL JOIN (
    SELECT l.sku_key, l.warehouse,
           sum(l.qty) FILTER (WHERE h.status IN ('HELD', 'WAITING')) AS held,
           sum(l.qty - l.dispatched - l.returned) FILTER (WHERE h.status = 'CONFIRMED') AS allocated
    FROM hold_lines l LEFT JOIN holds h USING (order_id) GROUP BY 1, 2
) t USING (sku_key, warehouse)
WHERE s.held IS DISTINCT FROM coalesce(t.held, 0)
   OR s.allocated IS DISTINCT FROM coalesce(t.allocated, 0);

CREATE VIEW set_aside_violations AS
SELECT s.sku_key, s.warehouse, s.set_aside, coalesce(a.units, 0) AS left_in_sales
FROM stock s
LEFT JOIN (SELECT sku_key, warehouse, sum(units_left) AS units FROM set_asides GROUP BY 1, 2) a
    USING (sku_key, warehouse)
WHERE s.set_aside <> coalesce(a.units, 0);

CREATE VIEW backorder_violations AS
SELECT sku_key, s.units AS counted, b.units AS queued
FROM (SELECT sku_key, sum(backordered) AS units FROM stock GROUP BY 1) s
FULL JOIN (SELECT sku_key, sum(open) AS units FROM backorders GROUP BY 1) b USING (sku_key)
WHERE coalesce(s.units, 0) <> coalesce(b.units, 0);
