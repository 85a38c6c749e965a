-- The id of a cart follows from its owner and is unique for both. A second unique
-- index is not looked at by ON CONFLICT (id): of two first adds at once one failed.
ALTER TABLE carts DROP CONSTRAINT carts_owner_key;
