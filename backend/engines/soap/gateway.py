"""A payment gateway by strangers: spyne, from the WSDL and its schema alone.

Usage: gateway.py WSDL; prints the port it listens on, and ends with its input.
Types and operations are made from the files while it starts; every request is
held against the schema twice, by spyne and by libxml2. A wrong one is answered
with an untyped fault, which the adapter must not take for an answer.
"""

import io
import itertools
import logging
import os
import sys
import threading
from socketserver import ThreadingMixIn
from wsgiref.simple_server import WSGIRequestHandler, WSGIServer, make_server

from lxml import etree
from spyne import Application, ComplexModel, DateTime, Decimal, Fault, ServiceBase, Unicode, rpc
from spyne.model.complex import ComplexModelMeta
from spyne.protocol.soap import Soap11
from spyne.server.wsgi import WsgiApplication

XS = "{http://www.w3.org/2001/XMLSchema}"
WSDL = "{http://schemas.xmlsoap.org/wsdl/}"
SOAP = "{http://schemas.xmlsoap.org/wsdl/soap/}"
ENVELOPE = "{http://schemas.xmlsoap.org/soap/envelope/}"
BUILT_IN = {"string": Unicode, "decimal": Decimal, "dateTime": DateTime}


def local(name):
    return name.rpartition(":")[2]


class Schema:
    """Spyne's types for those of an XSD."""

    def __init__(self, path):
        self.root = etree.parse(path).getroot()
        self.namespace = self.root.get("targetNamespace")
        self.made = {}

    def named(self, kind, name):
        return self.root.find(f"{XS}{kind}[@name='{name}']")

    def type_of(self, name):
        if name.startswith("xs:"):
            return BUILT_IN[local(name)]
        simple = self.named("simpleType", local(name))
        if simple is None:
            return self.complex(local(name), self.named("complexType", local(name)))
        restriction = simple.find(f"{XS}restriction")
        facets = {}
        for facet, keyword, read in (
            ("minLength", "min_len", int),
            ("maxLength", "max_len", int),
            ("pattern", "pattern", str),
            ("minExclusive", "gt", int),
        ):
            found = restriction.find(f"{XS}{facet}")
            if found is not None:
                facets[keyword] = read(found.get("value"))
        words = [word.get("value") for word in restriction.findall(f"{XS}enumeration")]
        if words:
            facets["values"] = words
        return self.type_of(restriction.get("base")).customize(**facets)

    def complex(self, name, definition):
        if name not in self.made:
            fields = []
            for part in definition.find(f"{XS}sequence").findall(f"{XS}element"):
                least = int(part.get("minOccurs", "1"))
                most = part.get("maxOccurs", "1")
                most = "unbounded" if most == "unbounded" else int(most)
                kind = self.type_of(part.get("type"))
                occurs = {"min_occurs": least, "max_occurs": most, "nillable": False}
                fields.append((part.get("name"), kind.customize(**occurs)))
            body = {"__namespace__": self.namespace, "_type_info": fields}
            self.made[name] = ComplexModelMeta(name, (ComplexModel,), body)
        return self.made[name]

    def element(self, name):
        return self.complex(name, self.named("element", name).find(f"{XS}complexType"))


class Ledger:
    """What the operations do. Repeats are not recognised."""

    def __init__(self, schema):
        self.schema = schema
        self.entries = []
        self.numbers = itertools.count(1)
        self.lock = threading.Lock()

    def ProcessPayment(self, request):
        token = request.paymentToken or "tok_ok"
        if token == "tok_fault":
            raise self.fault("Server", "GATEWAY_UNAVAILABLE", "try again later")
        if token == "tok_invalid":
            raise self.fault("Client", "INVALID_REQUEST", "no such token")
        status, reason = {
            "tok_ok": ("APPROVED", None),
            "tok_requires_action": ("REQUIRES_ACTION", None),
        }.get(token, ("DECLINED", "insufficient_funds"))
        if token == "tok_lost_after":
            status, reason = "APPROVED", None
        answer = self.add(request.orderId, "CHARGE", status, reason, request, attemptId=request.attemptId)
        if token == "tok_lost_after":
            raise Fault("Server", "the answer could not be delivered")
        return answer

    def GetPaymentStatus(self, request):
        with self.lock:
            found = [entry for entry in self.entries if entry["order"] == request.orderId]
        transaction = self.schema.type_of("pay:Transaction")
        listed = [transaction(**entry["fields"]) for entry in found]
        return self.schema.element("GetPaymentStatusResponse")(transaction=listed)

    def RefundPayment(self, request):
        with self.lock:
            charge = next(
                (e for e in self.entries if e["fields"]["transactionId"] == request.transactionId), None
            )
        if charge is None:
            raise self.fault("Client", "UNKNOWN_TRANSACTION", "there is no such charge")
        if request.amount > charge["fields"]["amount"]:
            raise self.fault("Client", "REFUND_EXCEEDS_CHARGE", "that is too much")
        refund = {"refundId": request.refundId, "refundOf": request.transactionId}
        return self.add(charge["order"], "REFUND", "APPROVED", None, request, **refund)

    def add(self, order, kind, status, reason, request, **references):
        with self.lock:
            number = f"stranger-{next(self.numbers)}"
            fields = {"transactionId": number, "kind": kind, "status": status, "declineReason": reason}
            fields.update(amount=request.amount, currency=request.currency, **references)
            self.entries.append({"order": order, "fields": fields})
        answer = "ProcessPaymentResponse" if kind == "CHARGE" else "RefundPaymentResponse"
        return self.schema.element(answer)(transactionId=number, status=status, declineReason=reason)

    def fault(self, blame, code, message):
        detail = etree.Element(f"{{{self.schema.namespace}}}PaymentFault")
        for name, text in (("code", code), ("message", message)):
            etree.SubElement(detail, f"{{{self.schema.namespace}}}{name}").text = text
        return Fault(blame, message, detail=detail)


def application(wsdl_path):
    wsdl = etree.parse(wsdl_path).getroot()
    include = wsdl.find(f"{WSDL}types/{XS}schema/{XS}import").get("schemaLocation")
    xsd_path = os.path.join(os.path.dirname(wsdl_path), include)
    schema = Schema(xsd_path)
    ledger = Ledger(schema)
    element_of = {
        message.get("name"): local(message.find(f"{WSDL}part").get("element"))
        for message in wsdl.findall(f"{WSDL}message")
    }
    operations = {}
    for operation in wsdl.findall(f"{WSDL}portType/{WSDL}operation"):
        name = operation.get("name")
        taken, given = (
            element_of[local(operation.find(f"{WSDL}{way}").get("message"))] for way in ("input", "output")
        )
        binding = wsdl.find(f"{WSDL}binding/{WSDL}operation[@name='{name}']/{SOAP}operation")
        operations[name] = method(name, taken, given, binding.get("soapAction"), schema, ledger)
    service = type("Payments", (ServiceBase,), operations)
    made = Application([service], schema.namespace, in_protocol=Soap11(validator="lxml"), out_protocol=Soap11())
    return Checked(WsgiApplication(made), etree.XMLSchema(etree.parse(xsd_path)))


def method(name, taken, given, action, schema, ledger):
    work = getattr(ledger, name)

    def call(ctx, request):
        said = ctx.transport.req_env.get("HTTP_SOAPACTION", "").strip('"')
        if said != action:
            raise Fault("Client", f"SOAPAction {said!r} instead of {action!r}")
        return work(request)

    call.__name__ = name
    return rpc(
        schema.element(taken),
        _returns=schema.element(given),
        _body_style="bare",
        _in_message_name=taken,
        _out_message_name=given,
    )(call)


class Checked:
    """Holds each request against the schema itself, before spyne sees it."""

    def __init__(self, inner, schema):
        self.inner, self.schema = inner, schema

    def __call__(self, environ, start_response):
        body = environ["wsgi.input"].read(int(environ.get("CONTENT_LENGTH") or 0))
        environ["wsgi.input"] = io.BytesIO(body)
        if environ["REQUEST_METHOD"] == "POST":
            envelope = etree.fromstring(body)
            message = envelope.find(f"{ENVELOPE}Body")[0]
            if not self.schema.validate(message):
                print(self.schema.error_log, file=sys.stderr)
                start_response("500 Wrong", [("Content-Type", "text/plain")])
                return [b"not valid by the schema"]
        return self.inner(environ, start_response)


class Quiet(WSGIRequestHandler):
    def log_message(self, *_):
        pass


class Server(ThreadingMixIn, WSGIServer):
    daemon_threads = True


def main():
    # Faults are answers here; nobody needs their stack traces.
    logging.disable(logging.CRITICAL)
    served = application(os.path.abspath(sys.argv[1]))
    server = make_server("127.0.0.1", 0, served, server_class=Server, handler_class=Quiet)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    print(server.server_port, flush=True)
    sys.stdin.read()


main()
