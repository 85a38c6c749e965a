-- Orders with items, history, sagas, payment attempts, refunds and the price model. First version; nothing older exists.

CREATE SEQUENCE order_numbers START 100001;

CREATE TABLE orders (
    order_id        uuid PRIMARY KEY,
    number          bigint NOT NULL DEFAULT nextval('order_numbers') UNIQUE,
    -- `user:…`, `guest:…` or `service:…`: whose order it is.
    owner           text NOT NULL,
    user_id         uuid,
    guest_id        uuid,
    cart_id         uuid,
    status          text NOT NULL,
    stage           text NOT NULL,
    currency        text NOT NULL,
    -- Amounts in minor units, frozen at placement.
    subtotal_minor  bigint NOT NULL,
    discount_minor  bigint NOT NULL,
    tax_minor       bigint NOT NULL,
    shipping_minor  bigint NOT NULL,
    total_minor     bigint NOT NULL CHECK (total_minor >= 0),
    -- Whether prices hold the tax already.
    tax_inclusive   boolean NOT NULL,
    units           bigint NOT NULL,
    captured_minor  bigint NOT NULL DEFAULT 0,
    refunded_minor  bigint NOT NULL DEFAULT 0,
    payment_id      uuid,
    hold_expires_at timestamptz,
    last_decline    text,
    -- Personal data, encrypted.
    email_sealed    bytea NOT NULL,
    address_sealed  bytea NOT NULL,
    created_at      timestamptz NOT NULL,
    updated_at      timestamptz NOT NULL,
    CHECK (refunded_minor BETWEEN 0 AND captured_minor)
) WITH (fillfactor = 80);
CREATE INDEX orders_of_owner ON orders (owner, created_at DESC, order_id DESC);
CREATE INDEX orders_newest ON orders (created_at DESC, order_id DESC);

CREATE TABLE order_items (
    order_id         uuid NOT NULL REFERENCES orders,
    line_no          integer NOT NULL,
    product_id       uuid NOT NULL,
    sku              text NOT NULL,
    -- Equal skus have equal keys.
    sku_key          text NOT NULL,
    title            text NOT NULL,
    qty              bigint NOT NULL CHECK (qty > 0),
    price_minor      bigint NOT NULL,
    line_total_minor bigint NOT NULL,
    tax_minor        bigint NOT NULL,
    -- Units that refunds took out again.
    returned_qty     bigint NOT NULL DEFAULT 0,
    PRIMARY KEY (order_id, line_no),
    CHECK (returned_qty BETWEEN 0 AND qty)
);
CREATE INDEX order_items_sku ON order_items (sku_key);

CREATE TABLE order_status_history (
    id          bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    order_id    uuid NOT NULL REFERENCES orders,
    at          timestamptz NOT NULL,
    status      text NOT NULL,
    -- Stable word: placed, captured, hold_expired, …
    cause       text NOT NULL,
    actor       text NOT NULL,
    -- What a person wrote as reason, encrypted.
    note_sealed bytea
);
CREATE INDEX order_status_history_order ON order_status_history (order_id, id);

CREATE TABLE sagas (
    order_id       uuid PRIMARY KEY REFERENCES orders,
    state          text NOT NULL,
    -- Counts every change: what was decided on an older one is dropped.
    version        bigint NOT NULL,
    -- The attempt that pays now, and whether it came with the placement.
    attempt_id     uuid,
    automatic      boolean NOT NULL,
    declines       integer NOT NULL DEFAULT 0,
    not_sent       integer NOT NULL DEFAULT 0,
    -- Failures of the present step.
    retries        integer NOT NULL DEFAULT 0,
    -- How the order ends once the money went back.
    end_cause      text,
    end_actor      text,
    lease_owner    uuid,
    lease_until    timestamptz,
    -- Null: it waits for somebody else.
    next_run_at    timestamptz,
    deadline       timestamptz,
    -- It cannot go on by itself: a person looks.
    stuck_at       timestamptz,
    stuck_reason   text,
    trace_id       text NOT NULL,
    correlation_id text NOT NULL,
    updated_at     timestamptz NOT NULL
) WITH (fillfactor = 60);
CREATE INDEX sagas_due ON sagas (next_run_at) WHERE next_run_at IS NOT NULL;
CREATE INDEX sagas_stuck ON sagas (stuck_at) WHERE stuck_at IS NOT NULL;

CREATE TABLE payment_attempts (
    attempt_id   uuid PRIMARY KEY,
    order_id     uuid NOT NULL REFERENCES orders,
    -- The idempotency key of the request to pay; null for attempts that came
    -- with the placement and for those that a later one replaced.
    scope        bytea UNIQUE,
    fingerprint  bytea,
    -- The provider's token, encrypted; gone once the attempt is decided.
    token_sealed bytea,
    method       text NOT NULL,
    -- running, captured, declined, not_sent, hold_expired
    state        text NOT NULL,
    payment_id   uuid,
    decline_code text,
    actor        text NOT NULL,
    started_at   timestamptz NOT NULL,
    decided_at   timestamptz
);
CREATE INDEX payment_attempts_order ON payment_attempts (order_id);

CREATE TABLE refunds (
    refund_id    uuid PRIMARY KEY,
    order_id     uuid NOT NULL REFERENCES orders,
    -- The idempotency key of the request; null for refunds of the saga itself.
    scope        bytea UNIQUE,
    fingerprint  bytea,
    amount_minor bigint NOT NULL CHECK (amount_minor > 0),
    -- Stable word: requested, canceled, stock_lost, late_capture.
    cause        text NOT NULL,
    note_sealed  bytea,
    restock      boolean NOT NULL,
    -- pending, restocking (the money is back, the units are not), succeeded, failed
    state        text NOT NULL,
    actor        text NOT NULL,
    created_at   timestamptz NOT NULL,
    decided_at   timestamptz
);
CREATE INDEX refunds_order ON refunds (order_id);

CREATE TABLE refund_lines (
    refund_id uuid NOT NULL REFERENCES refunds,
    sku       text NOT NULL,
    sku_key   text NOT NULL,
    qty       bigint NOT NULL CHECK (qty > 0),
    PRIMARY KEY (refund_id, sku_key)
);

-- What products cost, as far as events and the catalogue told.
CREATE TABLE known_products (
    product_id uuid PRIMARY KEY,
    version    bigint NOT NULL
);

CREATE TABLE variant_prices (
    sku_key       text PRIMARY KEY,
    sku           text NOT NULL,
    product_id    uuid NOT NULL,
    title         text NOT NULL,
    status        text NOT NULL,
    tax_class     text NOT NULL,
    currency      text NOT NULL,
    price_minor   bigint NOT NULL,
    -- The product version that the price came with.
    price_version bigint NOT NULL
);
CREATE INDEX variant_prices_product ON variant_prices (product_id);
