-- Carts, their action log, and what cart knows about variants. First version; nothing older exists.

-- Made with the first item; its id follows from the owner.
CREATE TABLE carts (
    id         uuid PRIMARY KEY,
    -- `user:…` or `guest:…`.
    owner      text NOT NULL UNIQUE,
    updated_at timestamptz NOT NULL
);

-- What the actions add up to.
CREATE TABLE cart_items (
    id          uuid PRIMARY KEY,
    cart_id     uuid NOT NULL REFERENCES carts,
    sku_key     text NOT NULL,
    sku         text NOT NULL,
    qty         bigint NOT NULL CHECK (qty > 0),
    -- The price when it was last added.
    added_minor bigint NOT NULL CHECK (added_minor >= 0),
    currency    text NOT NULL,
    -- Items are shown in the order of their adding.
    position    bigint NOT NULL,
    UNIQUE (cart_id, sku_key)
);

-- Everything that was ever done to a cart; replaying it gives its items.
CREATE TABLE cart_actions (
    id      bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    cart_id uuid NOT NULL REFERENCES carts,
    action  jsonb NOT NULL,
    -- `user:…`, `guest:…`, `service:…`.
    actor   text NOT NULL,
    at      timestamptz NOT NULL
);
CREATE INDEX cart_actions_cart ON cart_actions (cart_id, id);

CREATE FUNCTION cart_actions_are_append_only() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION 'the action log is append-only';
END $$;
CREATE TRIGGER cart_actions_append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON cart_actions
    FOR EACH STATEMENT EXECUTE FUNCTION cart_actions_are_append_only();

-- Read model of what is sold, fed by events; disposable.
CREATE TABLE variants (
    sku_key         text PRIMARY KEY,
    sku             text NOT NULL,
    product_id      uuid NOT NULL,
    title           text NOT NULL,
    slug            text NOT NULL,
    price_minor     bigint NOT NULL,
    currency        text NOT NULL,
    -- Can be ordered: its product is active and it was not taken out.
    for_sale        boolean NOT NULL,
    image_url       text NOT NULL,
    image_alt       text NOT NULL,
    -- The product version that each part comes from; older ones are ignored.
    product_version bigint NOT NULL,
    price_version   bigint NOT NULL
);
CREATE INDEX variants_product ON variants (product_id);
