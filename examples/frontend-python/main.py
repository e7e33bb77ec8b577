"""A kiosk's day in six messages: sells a card, then takes a payment. Fails if an outcome is not the expected one."""

import argparse
import datetime
import os
import sys
import uuid
from urllib.parse import quote

import pika

from frontend import Frontend, NoAnswer
from outbox import Outbox

PATIENCE_S = 120  # an example has to end; a kiosk would wait for ever


class Unexpected(Exception):
    pass


def main():
    options = arguments()
    url = os.environ.get("UNIGATE_BROKER_URL", "amqp://guest:guest@127.0.0.1:5672/%2f")
    namespace = os.environ.get("UNIGATE_BROKER_NAMESPACE", "unigate")
    try:
        broker = pika.URLParameters(url)
    except ValueError:
        sys.exit("UNIGATE_BROKER_URL is not a URL")  # what pika says shows a part of it, perhaps of the password
    frontend = Frontend(url, namespace, Outbox(options.outbox or outbox_directory(broker, namespace)))
    try:
        for fact, answer in frontend.settle_outbox(PATIENCE_S):
            print(f"left from before     {fact.routing_key}: {answer['outcome']}")
        sell_a_card(frontend, options.terminal, options.product)
        take_a_payment(frontend, options.terminal, options.payee, options.account)
    except (NoAnswer, Unexpected) as error:
        print(f"failed: {error}", file=sys.stderr)
        return 1
    finally:
        frontend.close()
    return 0


def arguments():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("terminal", nargs="?", default="T-0001")
    parser.add_argument("product", nargs="?", default="mts-100")
    parser.add_argument("payee", nargs="?", default="gorvodokanal")
    parser.add_argument("account", nargs="?", default="1920679795")
    parser.add_argument("--outbox", metavar="DIR", help="one per installation, on a disk that stays")
    return parser.parse_args()


def outbox_directory(broker, namespace):
    """Outlives a restart of the machine, and is one per installation: what is owed to one is not told to another."""
    place = ",".join(quote(str(part), safe="") for part in (broker.host, broker.port, broker.virtual_host, namespace))
    state = os.environ.get("XDG_STATE_HOME") or os.path.expanduser("~/.local/state")
    return os.path.join(state, "unigate-frontend-python", place)


def sell_a_card(frontend, terminal, product):
    stock = frontend.ask("card.availability", {"terminal": terminal, "products": [product]})
    show("card.availability", stock, ["ok"], *(f"{p['product']}: {p['available']}" for p in stock.get("products", [])))

    reservation = {"reservation_id": str(uuid.uuid4()), "terminal": terminal}
    held = frontend.ask("card.reserve", {**reservation, "product": product})
    # The card's secret fields are for the receipt only; they never go to a screen or a log. A terminal with a
    # key of its own gets them sealed, and `card` is null.
    serial = held["card"]["serial"] if held.get("card") else "sealed"
    show("card.reserve", held, ["reserved"], f"serial {serial}", f"held until {held.get('held_until')}")

    # Here the payer puts the money in. From now on the sale is a fact, whatever happens to this program.
    sale = {
        **reservation,
        "paid_at": now(),
        "amount": held["price"],
        "currency": held["currency"],
        "receipt_number": "000123",
    }
    # `already_sold` is the answer to a repetition: the first one was lost on its way.
    show("card.sell", frontend.tell("card.sell", sale, PATIENCE_S), ["sold", "already_sold"])


def take_a_payment(frontend, terminal, payee, account):
    payment = {
        "payment_id": str(uuid.uuid4()),
        "terminal": terminal,
        "payee": payee,
        "account": account,
        "amount": 15000,
        "currency": "RUB",
        "fields": {"payer": "Иванов И. И.", "meter_cold": "00123"},
    }
    checked = frontend.ask("payment.check", payment)
    show("payment.check", checked, ["payable", "ask"], checked.get("display"))

    accepted = {**payment, "paid_at": now(), "fee": 300, "receipt_number": "000124"}
    taken = frontend.tell("payment.accepted", accepted, PATIENCE_S)
    show("payment.accepted", taken, ["accepted", "already_accepted"], f"number {taken.get('number')}")

    status = frontend.ask("payment.status", {"payment_id": payment["payment_id"], "terminal": terminal})
    show("payment.status", status, ["ok"], f"state {status.get('state')}")


def show(step, answer, expected, *details):
    outcome = answer.get("outcome")
    if outcome not in expected:
        raise Unexpected(f"{step}: {outcome}, {answer.get('reason')}: {answer.get('detail')}")
    print(f"{step:20} {outcome}", *(detail for detail in details if detail), sep="  ")


def now():
    return datetime.datetime.now().astimezone().isoformat(timespec="seconds")


if __name__ == "__main__":
    sys.exit(main())
