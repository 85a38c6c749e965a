-- Stock per sku and warehouse, its ledger, and the holds of orders. First version; nothing older exists.

CREATE TABLE warehouses (
    code     text PRIMARY KEY CHECK (code <> ''),
    name     text NOT NULL,
    -- The lowest number is asked first.
    priority integer NOT NULL UNIQUE
);
INSERT INTO warehouses (code, name, priority) VALUES ('main', 'Main warehouse', 1);

-- One row per sku, made once by its opening stock.
CREATE TABLE items (
    -- The sku in lower case: two spellings are one sku.
    sku_key       text PRIMARY KEY,
    sku           text NOT NULL,
    variant_id    uuid NOT NULL UNIQUE,
    product_id    uuid NOT NULL,
    low_threshold bigint NOT NULL CHECK (low_threshold >= 0),
    opened_at     timestamptz NOT NULL
);
CREATE INDEX items_product ON items (product_id);

CREATE TABLE stock (
    sku_key       text NOT NULL REFERENCES items,
    warehouse     text NOT NULL REFERENCES warehouses,
    on_hand       bigint NOT NULL CHECK (on_hand >= 0),
    held          bigint NOT NULL DEFAULT 0 CHECK (held >= 0),
    allocated     bigint NOT NULL DEFAULT 0 CHECK (allocated >= 0),
    set_aside     bigint NOT NULL DEFAULT 0 CHECK (set_aside >= 0),
    safety_stock  bigint NOT NULL DEFAULT 0 CHECK (safety_stock >= 0),
    -- A physical count found fewer units than are promised: true until they fit again.
    counted_short boolean NOT NULL DEFAULT false,
    PRIMARY KEY (sku_key, warehouse),
    CONSTRAINT stock_never_oversold
        CHECK (counted_short OR held + allocated + set_aside <= on_hand)
) WITH (fillfactor = 50);

-- Every change of on_hand, never rewritten.
CREATE TABLE ledger (
    id        bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    sku_key   text NOT NULL,
    warehouse text NOT NULL,
    kind      text NOT NULL
        CHECK (kind IN ('opening', 'receipt', 'adjustment', 'count', 'return', 'dispatch')),
    delta     bigint NOT NULL CHECK (delta <> 0),
    -- What was on hand afterwards.
    on_hand   bigint NOT NULL CHECK (on_hand >= 0),
    reason    text NOT NULL,
    -- `user:…`, `service:…`.
    actor     text NOT NULL,
    order_id  uuid,
    at        timestamptz NOT NULL,
    FOREIGN KEY (sku_key, warehouse) REFERENCES stock
);
CREATE INDEX ledger_sku ON ledger (sku_key, id);

CREATE FUNCTION ledger_is_append_only() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION 'the ledger is append-only';
END $$;
CREATE TRIGGER ledger_append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON ledger
    FOR EACH STATEMENT EXECUTE FUNCTION ledger_is_append_only();

-- One per order. A row without lines in status RELEASED is a tombstone: the
-- order was given up before its stock was asked for.
CREATE TABLE holds (
    order_id   uuid PRIMARY KEY,
    status     text NOT NULL CHECK (status IN ('HELD', 'CONFIRMED', 'RELEASED', 'EXPIRED')),
    expires_at timestamptz,
    -- A payment attempt runs, or its outcome is unknown: it does not expire.
    pinned     boolean NOT NULL DEFAULT false,
    -- The one extension is used up.
    extended   boolean NOT NULL DEFAULT false,
    made_at    timestamptz NOT NULL,
    -- When the status was last changed.
    changed_at timestamptz NOT NULL,
    CHECK (status <> 'HELD' OR expires_at IS NOT NULL)
) WITH (fillfactor = 80);
CREATE INDEX holds_live ON holds (expires_at) INCLUDE (pinned) WHERE status = 'HELD';

CREATE TABLE hold_lines (
    order_id   uuid NOT NULL REFERENCES holds ON DELETE CASCADE,
    sku_key    text NOT NULL,
    warehouse  text NOT NULL,
    qty        bigint NOT NULL CHECK (qty > 0),
    dispatched bigint NOT NULL DEFAULT 0 CHECK (dispatched >= 0),
    -- Taken out of the order before dispatch, and brought back after it.
    returned   bigint NOT NULL DEFAULT 0 CHECK (returned >= 0),
    brought_back bigint NOT NULL DEFAULT 0 CHECK (brought_back >= 0),
    PRIMARY KEY (order_id, sku_key, warehouse),
    CHECK (dispatched + returned <= qty),
    CHECK (brought_back <= dispatched)
);

-- Returns that took effect, so that one sent twice counts once.
CREATE TABLE returns (
    return_id uuid PRIMARY KEY,
    order_id  uuid NOT NULL REFERENCES holds,
    -- Sorted `sku_key=qty`, joined by line breaks: what the return named.
    lines     text NOT NULL,
    at        timestamptz NOT NULL
);

-- Rows of these views are violations; both are empty at every commit.
CREATE VIEW ledger_violations AS
SELECT s.sku_key, s.warehouse, s.on_hand, coalesce(l.total, 0) AS ledger_total
FROM stock s
LEFT JOIN (SELECT sku_key, warehouse, sum(delta) AS total FROM ledger GROUP BY 1, 2) l
    USING (sku_key, warehouse)
WHERE s.on_hand <> coalesce(l.total, 0);

CREATE VIEW hold_violations AS
SELECT s.sku_key, s.warehouse, s.held, s.allocated, t.held AS lines_held,
       t.allocated AS lines_allocated
FROM stock s
LEFT JOIN (
    SELECT l.sku_key, l.warehouse,
           sum(l.qty) FILTER (WHERE h.status = 'HELD') AS held,
           sum(l.qty - l.dispatched - l.returned) FILTER (WHERE h.status = 'CONFIRMED') AS allocated
    FROM hold_lines l JOIN holds h USING (order_id) GROUP BY 1, 2
) t USING (sku_key, warehouse)
WHERE s.held <> coalesce(t.held, 0) OR s.allocated <> coalesce(t.allocated, 0);
