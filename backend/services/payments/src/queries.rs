//! Reads.

use platform::ApiError;
use shared_types::PaymentId;
use shared_types::payments::Payment;

use crate::house::House;
use crate::store;

/// The payment as it stands; 404 when there is none.
pub async fn get_payment(house: &House, id: PaymentId) -> Result<Payment, ApiError> {
    let mut connection = house.connection().await?;
    let payment = store::find_payment(&mut connection, id).await?;
    payment.map(store::PaymentRow::view).ok_or_else(|| ApiError::not_found("payments.not_found"))
}
