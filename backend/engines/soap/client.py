"""Any SOAP client at the simulator: zeep, which knows only the address of the WSDL.

Usage: client.py URL GOLDEN. Ends with 0 when every call did what it should; the
golden messages are held against the schema the simulator serves.
"""

import pathlib
import sys
import uuid
from decimal import Decimal

import zeep
from lxml import etree

ENVELOPE = "{http://schemas.xmlsoap.org/soap/envelope/}"


def main(url, golden):
    client = zeep.Client(f"{url}?wsdl")
    gateway = client.service
    order = f"zeep-{uuid.uuid4()}"

    assert gateway.GetPaymentStatus(order) in (None, []), "nothing is known of a new order"
    paid = gateway.ProcessPayment(order, Decimal("129.50"), "USD")
    assert paid.status == "APPROVED" and paid.transactionId and paid.declineReason is None, paid
    declined = gateway.ProcessPayment(
        order, Decimal("1.00"), "EUR", paymentToken="tok_insufficient_funds", attemptId="try-2"
    )
    assert (declined.status, declined.declineReason) == ("DECLINED", "insufficient_funds"), declined
    action = gateway.ProcessPayment(order, Decimal("500"), "JPY", paymentToken="tok_requires_action")
    assert action.status == "REQUIRES_ACTION", action

    refund = gateway.RefundPayment(
        transactionId=paid.transactionId, amount=Decimal("29.50"), currency="USD", refundId="back-1"
    )
    assert refund.status == "APPROVED", refund
    fault(lambda: gateway.RefundPayment(paid.transactionId, None, Decimal("100.01"), "USD"), "REFUND_EXCEEDS_CHARGE")
    fault(lambda: gateway.RefundPayment("nobody", None, Decimal("1"), "USD"), "UNKNOWN_TRANSACTION")
    fault(lambda: gateway.ProcessPayment(order, Decimal("1.001"), "USD"), "INVALID_REQUEST")
    fault(lambda: gateway.ProcessPayment(order, Decimal("1"), "USD", paymentToken="tok_fault"), "GATEWAY_UNAVAILABLE")

    listed = gateway.GetPaymentStatus(order)
    seen = [(one.kind, one.status, one.amount, one.currency) for one in listed]
    assert seen == [
        ("CHARGE", "APPROVED", Decimal("129.50"), "USD"),
        ("CHARGE", "DECLINED", Decimal("1.00"), "EUR"),
        ("CHARGE", "REQUIRES_ACTION", Decimal("500"), "JPY"),
        ("REFUND", "APPROVED", Decimal("29.50"), "USD"),
    ], seen
    assert listed[1].attemptId == "try-2" and listed[3].refundId == "back-1", listed
    assert listed[3].refundOf == paid.transactionId and listed[0].at.tzinfo, listed

    count = golden_messages_are_valid(client, url, pathlib.Path(golden))
    print(f"zeep {zeep.__version__}: all operations and faults; {count} golden messages valid by the served schema")


def fault(call, code):
    try:
        answer = call()
    except zeep.exceptions.Fault as raised:
        detail = raised.detail[0]
        namespace = etree.QName(detail).namespace
        assert etree.QName(detail).localname == "PaymentFault", etree.tostring(detail)
        assert detail.findtext(f"{{{namespace}}}code") == code, etree.tostring(detail)
        assert detail.findtext(f"{{{namespace}}}message"), etree.tostring(detail)
    else:
        raise AssertionError(f"{code} expected instead of {answer}")


def golden_messages_are_valid(client, url, folder):
    served = client.transport.session.get(f"{url}?xsd=1").content
    schema = etree.XMLSchema(etree.fromstring(served))
    files = sorted(folder.glob("*.xml"))
    assert files, folder
    for file in files:
        message = etree.parse(file).getroot().find(f"{ENVELOPE}Body")[0]
        if message.tag == f"{ENVELOPE}Fault":
            detail = message.find("detail")
            if detail is None:
                continue
            message = detail[0]
        schema.assertValid(message)
    return len(files)


main(*sys.argv[1:])
