-- Products, variants, categories and the price history (SCD2). First version; nothing older exists.

CREATE TABLE products (
    id          uuid PRIMARY KEY,
    slug        text NOT NULL UNIQUE,
    title       text NOT NULL,
    description text NOT NULL,
    status      text NOT NULL CHECK (status IN ('DRAFT', 'ACTIVE', 'ARCHIVED')),
    media       jsonb NOT NULL,
    -- Lowest price of its live variants, for sorting and filtering lists.
    from_minor  bigint NOT NULL,
    version     bigint NOT NULL,
    created_at  timestamptz NOT NULL,
    updated_at  timestamptz NOT NULL
);
CREATE INDEX products_newest ON products (created_at DESC, id DESC);
CREATE INDEX products_price ON products (from_minor, id);
CREATE INDEX products_title ON products (lower(title), id);

CREATE TABLE variants (
    id            uuid PRIMARY KEY,
    product_id    uuid NOT NULL REFERENCES products (id),
    -- Lower case: skus are unique without regard to it.
    sku_key       text NOT NULL UNIQUE,
    sku           text NOT NULL,
    title         text NOT NULL,
    price_minor   bigint NOT NULL CHECK (price_minor >= 0),
    currency      text NOT NULL,
    options       jsonb NOT NULL,
    position      integer NOT NULL,
    -- A variant that the merchant took out; its sku stays taken.
    retired       boolean NOT NULL DEFAULT false,
    -- Units that inventory has not acknowledged yet.
    opening_stock bigint
);
CREATE INDEX variants_product ON variants (product_id, position);

-- What inventory last said, per warehouse.
CREATE TABLE variant_stock (
    sku_key   text NOT NULL,
    warehouse text NOT NULL,
    available bigint NOT NULL,
    version   bigint NOT NULL,
    PRIMARY KEY (sku_key, warehouse)
);

CREATE TABLE categories (
    slug text PRIMARY KEY,
    name text NOT NULL
);

CREATE TABLE product_categories (
    product_id uuid NOT NULL REFERENCES products (id),
    category   text NOT NULL REFERENCES categories (slug),
    position   integer NOT NULL,
    PRIMARY KEY (product_id, category)
);
CREATE INDEX product_categories_category ON product_categories (category);

-- One row per price and time: never rewritten, only closed.
CREATE TABLE product_price_history (
    id          bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    variant_id  uuid NOT NULL REFERENCES variants (id),
    price_minor bigint NOT NULL,
    currency    text NOT NULL,
    valid_from  timestamptz NOT NULL,
    valid_to    timestamptz,
    changed_by  text NOT NULL,
    book        bigint NOT NULL,
    CHECK (valid_to IS NULL OR valid_to >= valid_from)
);
-- At most one price of today.
CREATE UNIQUE INDEX product_price_history_today ON product_price_history (variant_id) WHERE valid_to IS NULL;
CREATE INDEX product_price_history_variant ON product_price_history (variant_id, id);
