//! Every topic, in one table.
//!
//! One topic per aggregate. Partitions are few: embedded, each one costs idle
//! polling. Topics that must rebuild a read model keep everything.

/// A topic as it is created.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Topic {
    pub name: &'static str,
    /// The service whose aggregate it is.
    pub producer: &'static str,
    /// The field of every payload that is the Kafka key.
    pub key: &'static str,
    pub partitions: i32,
    pub keep: Keep,
}

/// How long messages stay.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Keep {
    /// For ever: read models are rebuilt from it.
    Everything,
    Days(u32),
}

impl Keep {
    /// `retention.ms`; -1 keeps everything.
    pub fn retention_ms(self) -> i64 {
        match self {
            Keep::Everything => -1,
            Keep::Days(days) => i64::from(days) * 86_400_000,
        }
    }
}

pub const ORDER: &str = "ecommerce.order.order";
pub const STOCK: &str = "ecommerce.inventory.stock";
pub const RESERVATION: &str = "ecommerce.inventory.reservation";
pub const PRODUCT: &str = "ecommerce.product.product";
pub const PAYMENT: &str = "ecommerce.payment.payment";
pub const USER: &str = "ecommerce.user.user";
pub const CART: &str = "ecommerce.cart.cart";
pub const IOT_STOCK: &str = "ecommerce.iot.stock";
pub const AUDIT: &str = platform::audit::TOPIC;

/// Dead letters wait this long for a person.
pub const DEAD_LETTER_DAYS: u32 = 90;

const fn topic(
    name: &'static str,
    producer: &'static str,
    key: &'static str,
    partitions: i32,
    keep: Keep,
) -> Topic {
    Topic { name, producer, key, partitions, keep }
}

/// Topics that hold events.
pub const TOPICS: &[Topic] = &[
    topic(ORDER, "orders", "orderId", 2, Keep::Everything),
    topic(STOCK, "inventory", "productId", 2, Keep::Everything),
    topic(RESERVATION, "inventory", "orderId", 2, Keep::Days(30)),
    topic(PRODUCT, "catalog", "productId", 2, Keep::Everything),
    topic(PAYMENT, "payments", "orderId", 2, Keep::Everything),
    topic(USER, "identity", "userId", 1, Keep::Everything),
    topic(CART, "cart", "cartId", 1, Keep::Days(30)),
    topic(IOT_STOCK, "iot", "sku", 1, Keep::Days(30)),
    topic(AUDIT, "every service", "actor", 1, Keep::Everything),
];

/// The topic of this name.
pub fn find(name: &str) -> Option<&'static Topic> {
    TOPICS.iter().find(|topic| topic.name == name)
}

/// Where messages of `topic` go that no retry could help.
pub fn dead_letters(topic: &str) -> String {
    format!("{topic}.DLQ")
}

/// Where `operations` sends messages back to one consumer.
pub fn redrive(consumer: &str) -> String {
    format!("redrive.{consumer}")
}

/// Everything `migrate` creates: topics, their dead letters, and the redrive
/// topic of each of `consumers`.
pub fn all(consumers: &[&str]) -> Vec<(String, i32, i64)> {
    let mut all = Vec::new();
    for topic in TOPICS {
        all.push((topic.name.to_owned(), topic.partitions, topic.keep.retention_ms()));
        let kept = Keep::Days(DEAD_LETTER_DAYS).retention_ms();
        all.push((dead_letters(topic.name), 1, kept));
    }
    for own in [platform::outbox::DEAD_OUTBOX, platform::consumer::runner::REDRIVE_RESULTS] {
        all.push((own.to_owned(), 1, Keep::Days(DEAD_LETTER_DAYS).retention_ms()));
    }
    for consumer in consumers {
        all.push((redrive(consumer), 1, Keep::Days(DEAD_LETTER_DAYS).retention_ms()));
    }
    all
}
