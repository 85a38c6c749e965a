//! Client settings for the broker; the only module that names librdkafka keys.
