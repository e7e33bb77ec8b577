//! One suite for every dialect: the same tests, run against scripted payees that speak it and do everything that real ones
//! have been seen to do. What each expects is the same too; where dialects differ, [`Spoken`] says how.

mod checks;
mod described;
mod mixtures;
mod questions;
mod suite;

use serde_json::{Value, json};
use testkit::payee::{Behaviour, Payee, Tongue, Verb};

use crate::fixtures::{SECRET, new_id, online_payment, timeout_for};
use crate::unikassa::ONLINE;
use crate::world::{World, with};

/// What a payee speaks, and how it is declared.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Spoken {
    /// Our own protocol.
    Unikassa,
    /// The OSMP protocol, in a query, read strictly.
    Osmp,
    /// The same in a form, read leniently, with a status of the payee's own.
    OsmpForm,
    /// A protocol nobody has heard of, described.
    Template,
}

/// A described protocol, as an operator would write it for `testkit::payee::Tongue::Rest`.
const REST: &str = r#"
    [unikassa.template.check]
    path = "/accounts/{{ account }}"
    query = { id = "{{ number }}" }
    answer = { format = "json", result = "/state", codes = { fine = "success" }, http = { 422 = "account_not_found" } }

    [unikassa.template.pay]
    method = "PUT"
    path = "/payments/{{ number }}"
    json = '''{"account": "{{ account }}", "amount": {{ amount_minor }}, "at": "{{ paid_at | date("%Y%m%d") }}",
        "paid_at": "{{ paid_at }}"}'''
    [unikassa.template.pay.answer]
    format = "json"
    result = "/state"
    number = "/id"
    amount = "/sum"
    reference = "/ref"
    codes = { done = "success", done_before = "already_done", later = "retry" }
    http = { 201 = "success", 202 = "pending", 409 = "already_done", 422 = "refused" }
"#;

/// What it has besides.
const REST_MORE: &str = r#"
    [unikassa.template.status]
    path = "/payments/{{ number }}"
    [unikassa.template.status.answer]
    format = "json"
    result = "/state"
    number = "/id"
    codes = { done = "success", undone = "cancelled" }
    http = { 201 = "success", 202 = "pending", 404 = "not_found", 422 = "refused" }

    [unikassa.template.cancel]
    method = "POST"
    path = "/cancel/{{ number }}"
    json = '{"why": "{{ reason }}"}'
    [unikassa.template.cancel.answer]
    format = "json"
    result = "/state"
    number = "/id"
    codes = { undone = "success" }
    http = { 404 = "not_found", 422 = "refused" }

    [unikassa.template.list]
    path = "/payments"
    query = { from = "{{ from }}", to = "{{ to }}" }
    [unikassa.template.list.answer]
    format = "json"
    items = "/payments"
    number = "/number"
    amount = "/sum"
    credited_at = "/credited_at"
    reference = "/provider_reference"
"#;

const OSMP_STATUS: &str = r#"
    [unikassa.template.status]
    method = "POST"
    form = { command = "status", txn_id = "{{ number }}" }
    [unikassa.template.status.answer]
    format = "xml"
    result = "/response/result"
    number = "/response/osmp_txn_id"
    codes = { 0 = "success", 7 = "refused", 90 = "pending", 210 = "not_found" }
"#;

impl Spoken {
    pub(crate) fn tongue(self) -> Tongue {
        match self {
            Self::Unikassa => Tongue::Unikassa,
            Self::Osmp | Self::OsmpForm => Tongue::Osmp,
            Self::Template => Tongue::Rest,
        }
    }

    /// Whether answers tell the sum that was credited.
    pub(crate) fn echoes_sums(self) -> bool {
        self != Self::Unikassa
    }

    /// The payee as it is declared; it cannot be asked what became of a payment, unless `asked`.
    pub(crate) fn declared(self, id: &str, payee: &Payee, idempotent: bool, asked: bool, more: &str) -> String {
        let profile = match self {
            Self::Unikassa => format!("dialect = \"unikassa\"\nsecret = \"{SECRET}\"\noffers_status = {asked}"),
            Self::Osmp | Self::OsmpForm => "dialect = \"osmp\"".to_owned(),
            Self::Template => "dialect = \"template\"".to_owned(),
        };
        let sections = match self {
            Self::Unikassa => String::new(),
            Self::Osmp => "[unikassa.osmp]\ncodes = { 300 = \"already_done\" }".to_owned(),
            Self::OsmpForm => {
                "[unikassa.osmp]\nmethod = \"POST\"\nparsing = \"lenient\"\ncodes = { 300 = \"already_done\" }"
                    .to_owned()
            }
            Self::Template => REST.to_owned(),
        };
        let asks = match self {
            Self::Osmp | Self::OsmpForm if asked => OSMP_STATUS,
            Self::Template if asked => REST_MORE,
            _ => "",
        };
        let url = payee.url_in(self.tongue());
        let timeout = match more.contains("timeout_seconds") {
            true => String::new(),
            false => format!("timeout_seconds = {}", timeout_for(&Behaviour::Accept)),
        };
        format!(
            r#"
            id = "{id}"
            name = "Internet provider"
            gateway = "unikassa"
            currency = "RUB"
            account = {{ pattern = "^.{{1,40}}$" }}
            amount = {{ min = 100, max = 10000000 }}
            [unikassa]
            url = "{url}"
            {profile}
            idempotent = {idempotent}
            allow_private = true
            {timeout}
            retry_seconds = [1]
            probe_seconds = 1
            {more}
            {sections}
            {asks}
        "#
        )
    }
}

/// A world with one payee, `isp`, that speaks this.
pub(crate) async fn spoken_to(spoken: Spoken, idempotent: bool, asked: bool, more: &str) -> (World, Payee) {
    let world = World::start(&ONLINE).await;
    let payee = Payee::start().await.unwrap();
    world
        .payee(&spoken.declared("isp", &payee, idempotent, asked, more))
        .await;
    (world, payee)
}

/// Takes a payment for a payee; returns its id and number.
pub(crate) async fn pay_to(world: &World, payee: &str) -> (String, String) {
    let id = new_id();
    let payment = with(online_payment(&id), "payee", json!(payee));
    (id.clone(), accepted(world, &payment).await)
}

/// Tells a payment and returns its number.
pub(crate) async fn accepted(world: &World, payment: &Value) -> String {
    let answer = world.tell("payment.accepted", payment).await;
    assert_eq!(answer["outcome"], "accepted", "{answer}");
    answer["number"].as_str().unwrap().to_owned()
}

#[tokio::test]
async fn the_examples_of_payees_can_be_applied() {
    let stand = testkit::stand::Stand::new().await;
    let examples = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../examples/payees");
    // As an operator does: together, so that what one names another may declare.
    let arguments = ["payees", "apply", &examples.display().to_string()];
    let done = testkit::process::run(&stand.environment(), &arguments).await;
    assert_eq!(done.code, Some(0), "{done:?}");
    let applied = done.stdout.lines().filter(|line| line.ends_with(": created")).count();
    assert!(applied >= 6, "{applied} examples");
}

/// A database takes no NUL, and would keep no word of the answer.
#[tokio::test]
async fn whatever_a_payee_echoes_its_answer_is_kept() {
    let world = World::start(&ONLINE).await;
    let payee = Payee::start().await.unwrap();
    let declared = Spoken::Template.declared("isp", &payee, false, false, "");
    world
        .payee(&declared.replace("amount = \"/sum\"", "amount = \"/ref\""))
        .await;
    let hostile = format!("1\0\u{1b}[2J{}", "0".repeat(5000));
    let answer = json!({"result": "accepted", "provider_reference": hostile});
    payee.script(Verb::Pay, [Behaviour::Answer(answer)]);
    let (id, _) = pay_to(&world, "isp").await;
    let row = world.reaches(&id, "delivered").await;
    assert_eq!(row.flags, ["echoed_amount_differs"]);
    let error = row.last_error.unwrap();
    assert!(error.contains("says that it credited 1  [2J"), "{error}");
    assert!(error.len() < 1000 && !error.contains(char::is_control), "{error}");
}

/// The suite, once for each dialect.
macro_rules! conformance {
    ($($name:ident = $spoken:ident),+ $(,)?) => {$(
        mod $name {
            use super::Spoken::$spoken as SPOKEN;
            use super::{mixtures, questions, suite};

            #[tokio::test]
            async fn a_payment_arrives_whole_and_is_credited_once() {
                suite::arrives_whole(SPOKEN).await;
            }

            #[tokio::test]
            async fn what_is_no_answer_is_repeated_to_an_idempotent_payee_under_the_same_number() {
                suite::repeated_where_that_is_safe(SPOKEN).await;
            }

            #[tokio::test]
            async fn what_is_no_answer_is_never_repeated_to_another_and_ends_unknown() {
                suite::unknown_where_it_is_not(SPOKEN).await;
            }

            #[tokio::test]
            async fn credited_before_is_success_after_a_maybe_and_flagged_on_a_first_attempt() {
                suite::credited_before(SPOKEN).await;
            }

            #[tokio::test]
            async fn what_is_echoed_wrongly_is_flagged_and_not_believed() {
                suite::wrong_echoes(SPOKEN).await;
            }

            #[tokio::test]
            async fn the_payees_no_is_final_and_its_later_is_not() {
                suite::no_and_later(SPOKEN).await;
            }

            #[tokio::test]
            async fn a_payee_that_credits_twice_at_once_is_called_one_at_a_time() {
                suite::one_at_a_time(SPOKEN).await;
            }

            #[tokio::test]
            async fn a_payee_that_can_say_is_asked_what_became_of_it() {
                questions::asked_what_became(SPOKEN).await;
            }

            #[tokio::test]
            async fn a_check_tells_the_payments_number_and_a_payee_that_credits_on_it_is_not_asked() {
                questions::checks(SPOKEN).await;
            }

            #[tokio::test]
            async fn random_mixtures_of_everything_leave_no_difference_unseen() {
                mixtures::run(SPOKEN).await;
            }
        }
    )+};
}

conformance! {
    unikassa = Unikassa,
    osmp = Osmp,
    osmp_form = OsmpForm,
    template = Template,
}
