-- Order summaries, a fold over the order events that can be rebuilt from the log at any time. Old code survives it.

CREATE TABLE order_summaries (
    order_id       uuid PRIMARY KEY,
    order_number   text NOT NULL,
    -- `user:…`, `guest:…`, or empty for orders of services.
    customer       text NOT NULL,
    status         text NOT NULL,
    currency       text NOT NULL,
    total          numeric NOT NULL,
    paid           numeric NOT NULL,
    refunded       numeric NOT NULL,
    units          bigint NOT NULL,
    lines          integer NOT NULL,
    payment_id     uuid,
    -- Why it ended.
    reason         text,
    created_at     timestamptz NOT NULL,
    -- The newest event seen, and when it happened.
    version        bigint NOT NULL,
    updated_at     timestamptz NOT NULL
) WITH (fillfactor = 80);
CREATE INDEX order_summaries_of_customer ON order_summaries (customer, created_at DESC, order_id DESC);
