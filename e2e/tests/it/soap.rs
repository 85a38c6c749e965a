//! Any SOAP client at the payment simulator.

use e2e::shop::Shop;

use crate::fresh_key;

#[tokio::test]
async fn the_wsdl_leads_to_a_charge() -> anyhow::Result<()> {
    let port = Shop::shared().await? + 5;
    let http = reqwest::Client::new();
    let address = format!("http://127.0.0.1:{port}/soap/payment");
    let wsdl = http.get(format!("{address}?wsdl")).send().await?.text().await?;
    assert!(wsdl.contains(&format!("location=\"{address}\"")), "{wsdl}");
    let namespace = wsdl
        .split("targetNamespace=\"")
        .nth(1)
        .and_then(|rest| rest.split('"').next())
        .expect("a target namespace");
    let action = wsdl
        .split("soapAction=\"")
        .skip(1)
        .filter_map(|rest| rest.split('"').next())
        .find(|action| action.ends_with("ProcessPayment"))
        .expect("an action for ProcessPayment");
    let call = format!(
        "<soapenv:Envelope xmlns:soapenv=\"http://schemas.xmlsoap.org/soap/envelope/\" xmlns:p=\"{namespace}\">\
         <soapenv:Body><p:ProcessPayment><p:orderId>{}</p:orderId><p:amount>12.50</p:amount>\
         <p:currency>USD</p:currency></p:ProcessPayment></soapenv:Body></soapenv:Envelope>",
        fresh_key()
    );
    let answer = http
        .post(&address)
        .header("Content-Type", "text/xml; charset=utf-8")
        .header("SOAPAction", format!("\"{action}\""))
        .body(call)
        .send()
        .await?;
    let (status, body) = (answer.status(), answer.text().await?);
    assert!(status.is_success() && body.contains("transactionId"), "{status}: {body}");
    Ok(())
}
