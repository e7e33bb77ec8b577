//! Requests played through their behaviours.

use std::net::SocketAddr;
use std::sync::Arc;

use axum::Router;
use axum::body::{Body, to_bytes};
use axum::extract::{ConnectInfo, State};
use axum::http::{HeaderName, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde_json::{Value, json};
use tokio::sync::mpsc;

use super::Desk;
use super::behaviour::Behaviour;
use super::ledger::refused;
use super::request::{Request, Signature, Verb};
use super::speech::{Tongue, Twist};
use super::wire::{Hold, Wire, Wires};
use crate::lock;

/// More than the protocol allows, so that a gateway's mistake is seen and not hidden.
const MAX_REQUEST_BYTES: usize = 16 * 1024 * 1024;
/// Above the 64 KiB a gateway has to read.
const HUGE_BYTES: usize = 80 * 1024;

/// Serves until it is aborted.
pub(super) async fn run(addr: SocketAddr, wires: mpsc::UnboundedReceiver<Wire>, desk: Arc<Desk>) {
    let router = Router::new().fallback(handle).with_state(desk);
    let service = router.into_make_service_with_connect_info::<Hold>();
    if let Err(error) = axum::serve(Wires { addr, wires }, service).await {
        tracing::error!(%error, "the scripted payee stopped");
    }
}

async fn handle(
    State(desk): State<Arc<Desk>>,
    ConnectInfo(hold): ConnectInfo<Hold>,
    request: axum::extract::Request,
) -> Response {
    let _counted = Counted::new(desk.clone());
    let (head, body) = request.into_parts();
    let read = |raw, secrets| Request::new(&head.method, &head.uri, &head.headers, raw, secrets);
    let unread = read(bytes::Bytes::new(), None);
    // A form tells its verb only once it is read; then it is taken for what matters.
    let form = unread.tongue == Tongue::Osmp && head.method == axum::http::Method::POST;
    let verb = unread.verb.or(form.then_some(Verb::Pay));
    if verb.is_some_and(|verb| desk.resets_unread(verb)) {
        desk.record(Request { verb, ..unread });
        return reset(&hold).await;
    }
    let Ok(raw) = to_bytes(body, MAX_REQUEST_BYTES).await else {
        return StatusCode::BAD_REQUEST.into_response();
    };
    let request = read(raw, desk.secrets.as_ref());
    desk.record(request.clone());
    let Some(verb) = request.verb else {
        // Such programs answer what they do not understand with nothing at all.
        let silent = request.tongue == Tongue::Osmp;
        return if silent { StatusCode::OK } else { StatusCode::NOT_FOUND }.into_response();
    };
    if request.tongue == Tongue::Osmp && request.lacks_parameters() {
        return StatusCode::OK.into_response();
    }
    if let Signature::Bad(_) = request.signature {
        return StatusCode::UNAUTHORIZED.into_response();
    }
    let behaviour = desk.next(verb);
    Play {
        desk,
        hold,
        verb,
        request,
    }
    .play(behaviour)
    .await
}

/// One request on its way to an answer.
struct Play {
    desk: Arc<Desk>,
    hold: Hold,
    verb: Verb,
    request: Request,
}

impl Play {
    async fn play(self, behaviour: Behaviour) -> Response {
        match behaviour {
            Behaviour::AfterCredit(then) => {
                self.carry_out();
                Box::pin(self.play(*then)).await
            }
            Behaviour::Accept => self.json(self.carry_out()),
            Behaviour::AlreadyAccepted => {
                self.carry_out();
                self.json(self.already())
            }
            Behaviour::Pending => {
                self.note_pay(|desk| lock(&desk.state).ledger.suspend(&self.request));
                self.json(json!({"result": "pending"}))
            }
            Behaviour::Refuse(reason) => {
                self.note_pay(|desk| lock(&desk.state).ledger.turn_down(&self.request, &reason));
                self.json(refused(&reason))
            }
            Behaviour::NotFound => self.json(json!({"result": "not_found"})),
            Behaviour::Answer(answer) => self.json(answer),
            Behaviour::HangAfterCredit => {
                self.carry_out();
                std::future::pending().await
            }
            Behaviour::Hang => std::future::pending().await,
            Behaviour::ResetAfterCredit => {
                self.carry_out();
                reset(&self.hold).await
            }
            Behaviour::ResetBeforeRead => reset(&self.hold).await,
            Behaviour::OtherSum => self.twisted(Twist::OtherSum),
            Behaviour::WhiteSpace => self.twisted(Twist::WhiteSpace),
            Behaviour::Capitals => self.twisted(Twist::Capitals),
            Behaviour::PlainText => {
                let answer = self.carry_out();
                format!("result={}", answer["result"].as_str().unwrap_or_default()).into_response()
            }
            Behaviour::Delay(delay) => {
                let answer = self.carry_out();
                tokio::time::sleep(delay).await;
                self.json(answer)
            }
            Behaviour::Hold => {
                let mut released = self.desk.released.subscribe();
                let answer = self.carry_out();
                // Fails only when the payee is gone.
                let _ = released.changed().await;
                self.json(answer)
            }
            spoilt => self.spoil(spoilt),
        }
    }

    /// Answers that are none.
    fn spoil(&self, behaviour: Behaviour) -> Response {
        match behaviour {
            Behaviour::Status { code, headers } => status(code, &headers),
            Behaviour::NotJson => {
                let page = "<html><body>The payment was accepted</body></html>";
                (json_type(), page).into_response()
            }
            Behaviour::Huge => {
                let mut answer = json!({"result": self.good()});
                answer["padding"] = "x".repeat(HUGE_BYTES).into();
                self.json(answer)
            }
            Behaviour::WrongNumber => {
                let other = self.request.number().unwrap_or_default() + "9";
                self.json(json!({"number": other, "result": self.good()}))
            }
            Behaviour::UnknownResult => self.json(json!({"result": "perhaps"})),
            Behaviour::Later => self.json(json!({"result": "later"})),
            Behaviour::DatabaseDown => StatusCode::INTERNAL_SERVER_ERROR.into_response(),
            _ => StatusCode::OK.into_response(),
        }
    }

    fn carry_out(&self) -> Value {
        let answer = {
            let mut state = lock(&self.desk.state);
            let twice = self.verb == Verb::Pay && state.doubles_at_once && state.at_once > 1;
            let answer = state.ledger.carry_out(self.verb, &self.request);
            if twice {
                state.ledger.double(&self.request);
            }
            answer
        };
        self.desk.announce();
        answer
    }

    fn twisted(&self, twist: Twist) -> Response {
        let answer = self.carry_out();
        self.request.tongue.say(&self.request, answer, twist)
    }

    fn note_pay(&self, note: impl FnOnce(&Desk)) {
        if self.verb == Verb::Pay {
            note(&self.desk);
            self.desk.announce();
        }
    }

    fn good(&self) -> &'static str {
        match self.verb {
            Verb::Check => "payable",
            Verb::Cancel => "cancelled",
            Verb::Pay | Verb::Status | Verb::List => "accepted",
        }
    }

    fn already(&self) -> Value {
        match self.verb {
            Verb::Cancel => json!({"result": "already_cancelled"}),
            _ => json!({"result": "already_accepted"}),
        }
    }

    fn json(&self, answer: Value) -> Response {
        self.request.tongue.say(&self.request, answer, Twist::None)
    }
}

fn json_type() -> [(HeaderName, &'static str); 1] {
    [(header::CONTENT_TYPE, "application/json")]
}

/// Ends the connection and never answers; the server notices and drops this.
async fn reset(hold: &Hold) -> Response {
    hold.reset();
    std::future::pending().await
}

fn status(code: u16, headers: &[(String, String)]) -> Response {
    let mut response = Response::new(Body::from("so it is scripted"));
    *response.status_mut() = StatusCode::from_u16(code).unwrap_or_default();
    for (name, value) in headers {
        let name = HeaderName::try_from(name.as_str());
        if let (Ok(name), Ok(value)) = (name, HeaderValue::from_str(value)) {
            response.headers_mut().append(name, value);
        }
    }
    response
}

impl Desk {
    fn record(&self, request: Request) {
        lock(&self.state).requests.push(request);
        self.announce();
    }

    /// Takes the next behaviour of a verb.
    fn next(&self, verb: Verb) -> Behaviour {
        let mut state = lock(&self.state);
        let scripted = state.scripts.get_mut(&verb).and_then(|script| script.pop_front());
        scripted
            .or_else(|| state.standing.get(&verb).cloned())
            .unwrap_or_default()
    }

    /// Whether the next request of this verb is reset unread; then that behaviour is used up.
    fn resets_unread(&self, verb: Verb) -> bool {
        let mut state = lock(&self.state);
        if let Some(script) = state.scripts.get_mut(&verb)
            && let Some(next) = script.front()
        {
            let resets = *next == Behaviour::ResetBeforeRead;
            if resets {
                script.pop_front();
            }
            return resets;
        }
        state.standing.get(&verb) == Some(&Behaviour::ResetBeforeRead)
    }
}

/// A request that counts as under way.
struct Counted(Arc<Desk>);

impl Counted {
    fn new(desk: Arc<Desk>) -> Self {
        {
            let mut state = lock(&desk.state);
            state.at_once += 1;
            state.most_at_once = state.most_at_once.max(state.at_once);
        }
        Self(desk)
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        lock(&self.0.state).at_once -= 1;
    }
}
