"""Speaking with unigate over RabbitMQ: questions with a deadline, facts repeated until they are answered.

One Frontend belongs to one thread (pika's rule). Nothing here knows cards or payments: take it as it is.
"""

import json
import time
import uuid

import pika
from pika.adapters.utils.connection_workflow import AMQPConnectorException
from pika.exceptions import AMQPError, ChannelWrongStateError

# The broker is away, is not found, does not let us in, closes or has not taken a message. pika hands on as they are what
# a resolver or TLS raises, and what it calls a connector's exception is none of AMQP's.
TROUBLE = (AMQPError, AMQPConnectorException, OSError)

# Where the broker delivers answers to this connection; no queue has to be declared.
REPLY_TO = "amq.rabbitmq.reply-to"

# Any of these ends a fact. An outcome that is not here comes from a newer unigate: no answer yet.
FINAL = frozenset(
    "accepted already_accepted sold already_sold conflict released already_released already_expired"
    " revoked already_revoked revoking refused".split()
)

FIRST_WAIT_S, LONGEST_WAIT_S = 30, 300  # for the answer to a fact, before it is sent again
FIRST_PAUSE_S, LONGEST_PAUSE_S = 1, 30  # after the broker could not be reached


class NoAnswer(Exception):
    """A question: ask again if it still matters. A fact: it stays in the outbox, nothing is lost."""


class Frontend:
    def __init__(self, url, namespace, outbox):
        self._parameters = pika.URLParameters(url)
        self._parameters.heartbeat = 30
        self._parameters.blocked_connection_timeout = 30
        self._exchange = f"{namespace}.terminal"
        self._outbox = outbox
        self._connection = None
        self._channels = {}
        self._answers = {}

    def ask(self, routing_key, body, within_s=10):
        """Asks a question. Past the deadline nobody waits: it is dropped unanswered, wherever it is by then."""
        correlation_id = str(uuid.uuid4())
        deadline = time.monotonic() + within_s
        while True:
            kept = self._connection is not None
            try:
                answer = self._question(routing_key, body, correlation_id, deadline)
                break
            except TROUBLE as error:
                self.close()
                # A connection that was idle may have been given up by the broker, which only its use shows: once more
                # on a new one. That is safe, for a question under the same id is the same question.
                if not kept:
                    raise NoAnswer(f"{routing_key}: {error!r}") from error
        if answer is None:
            raise NoAnswer(f"{routing_key}: nothing within {within_s} s")
        return answer

    def tell(self, routing_key, body, patience_s=None):
        """States a fact: kept first, then sent until it is answered. Gives up waiting after the patience, if any."""
        return self.settle(self._outbox.put(routing_key, body), patience_s)

    def settle_outbox(self, patience_s=None):
        """Call it after every start: what was not answered when the program ended."""
        return [(fact, self.settle(fact, patience_s)) for fact in self._outbox.unanswered()]

    def settle(self, fact, patience_s=None):
        give_up = time.monotonic() + (float("inf") if patience_s is None else patience_s)
        wait, pause = FIRST_WAIT_S, FIRST_PAUSE_S
        while True:
            answer = None
            try:
                self._send(fact)
                left = min(wait, give_up - time.monotonic())
                answer = self._answer("facts", fact.correlation_id, time.monotonic() + left, FINAL)
                wait, pause = min(wait * 2, LONGEST_WAIT_S), FIRST_PAUSE_S
            except TROUBLE:
                self.close()
                time.sleep(max(0, min(pause, give_up - time.monotonic())))
                pause = min(pause * 2, LONGEST_PAUSE_S)
            if answer:
                self._outbox.remove(fact)
                return answer
            if time.monotonic() >= give_up:
                raise NoAnswer(f"{fact.routing_key}: nothing within {patience_s} s; it stays in the outbox")

    def close(self):
        connection, self._connection, self._channels = self._connection, None, {}
        try:
            if connection:
                connection.close()
        except TROUBLE:
            pass  # it was gone already

    def _question(self, routing_key, body, correlation_id, deadline):
        channel = self._channel("questions")
        left = deadline - time.monotonic()  # connecting took some of it
        if left <= 0:
            return None
        properties = self._properties(
            correlation_id,
            delivery_mode=pika.DeliveryMode.Transient,
            expiration=str(int(left * 1000)),
            timestamp=int(time.time()),
        )
        channel.basic_publish(self._exchange, routing_key, _bytes(body), properties)
        return self._answer("questions", correlation_id, deadline)

    def _send(self, fact):
        # Persistent and mandatory on a confirming channel: returns only when the broker has it on disk and in a
        # queue, and raises if it has not. Never an expiration: money does not grow old.
        properties = self._properties(fact.correlation_id, delivery_mode=pika.DeliveryMode.Persistent)
        self._channel("facts").basic_publish(
            self._exchange, fact.routing_key, _bytes(fact.body), properties, mandatory=True
        )

    def _properties(self, correlation_id, **more):
        return pika.BasicProperties(
            content_type="application/json",
            headers={"unigate-version": 1},
            user_id=self._parameters.credentials.username,  # verified by the broker
            reply_to=REPLY_TO,
            correlation_id=correlation_id,
            **more,
        )

    def _channel(self, purpose):
        """One for facts, which waits for the broker's confirms, and one for questions, which do not wait."""
        if self._connection is None:
            self._connection = pika.BlockingConnection(self._parameters)
        if purpose not in self._channels:
            channel = self._connection.channel()
            if purpose == "facts":
                channel.confirm_delivery()
            # Direct reply-to wants the request on the channel that consumes, and no acknowledgements.
            channel.basic_consume(REPLY_TO, self._keep_answer, auto_ack=True)
            self._channels[purpose] = channel
        return self._channels[purpose]

    def _keep_answer(self, _channel, _method, properties, body):
        self._answers[properties.correlation_id] = json.loads(body)

    def _answer(self, purpose, correlation_id, deadline, outcomes=None):
        """What came, or None past the deadline. With outcomes, any other is no answer yet and is waited on."""
        while True:
            answer = self._answers.get(correlation_id)
            if answer and (outcomes is None or answer.get("outcome") in outcomes):
                self._answers.clear()  # the others are late answers to what nobody waits for any more
                return answer
            left = deadline - time.monotonic()
            if left <= 0:
                return None
            if self._channels[purpose].is_closed:
                raise ChannelWrongStateError("closed by the broker: no such namespace, or no right to it")
            self._connection.process_data_events(time_limit=left)


def _bytes(body):
    return json.dumps(body, ensure_ascii=False).encode()
