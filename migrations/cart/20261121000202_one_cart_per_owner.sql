-- The database proves again that an owner has one cart. Old code survives, but of two
-- first adds of one owner at once it may fail the later: that one can be sent again.
ALTER TABLE carts ADD CONSTRAINT carts_owner_key UNIQUE (owner);
