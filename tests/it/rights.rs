//! Roles of `deploy/grants.sql`: processes and operators do their work with no more rights than it gives them.

use std::process::Stdio;

use secrecy::ExposeSecret;
use store::{Store, StoreSettings};
use testkit::mail::MailServer;
use testkit::process::{Process, run};
use testkit::wait_for;
use tokio::process::Command;
use url::Url;
use uuid::Uuid;

use crate::cli::{Files, failed};
use crate::faults::environment;
use crate::registers::every;
use crate::restarts::{Private, Service};
use crate::world::{PATIENCE, World};

/// An installation whose processes have the rights of their roles. On a private server: roles belong to all databases of one,
/// and stay.
pub(crate) struct Site {
    pub(crate) world: World,
    // Last: the world is taken away from it.
    private: Private,
}

impl Site {
    pub(crate) async fn found() -> Self {
        let private = Private::start(Service::PostgreSql).await;
        let world = World::on(private.settings()).await;
        Self { world, private }
    }

    /// Runs the file, as whoever sets an installation up does.
    pub(crate) async fn grant(&self) {
        let file = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../deploy/grants.sql");
        let granted = Command::new("psql")
            .arg(self.world.stand.settings().store.url.expose_secret())
            .args(["--no-psqlrc", "--quiet", "--set=ON_ERROR_STOP=1", "--file"])
            .arg(file)
            .stdin(Stdio::null())
            .output()
            .await
            .expect("psql is there: `scripts/tools test` installs it");
        assert!(granted.status.success(), "{granted:?}");
    }

    /// A new user in one of the roles.
    pub(crate) async fn user(&self, role: &str) -> User {
        let name = format!("login_{}", Uuid::new_v4().simple());
        self.world
            .sql(&format!("CREATE ROLE {name} LOGIN IN ROLE {role}"))
            .await;
        let mut url = Url::parse(self.world.stand.settings().store.url.expose_secret()).unwrap();
        assert_eq!(
            url.port(),
            Url::parse(self.private.url()).unwrap().port(),
            "nobody else's server"
        );
        url.set_username(&name).unwrap();
        User { url: url.into() }
    }
}

/// A user in one of the roles.
pub(crate) struct User {
    pub(crate) url: String,
}

impl User {
    pub(crate) fn environment(&self, world: &World, mail: &str) -> Vec<(String, String)> {
        environment(
            world,
            &[
                ("UNIGATE_DATABASE_URL", &self.url),
                ("UNIGATE_SMTP_URL", mail),
                ("UNIGATE_MAIL_FROM", "unigate@example.net"),
                ("UNIGATE_OPERATOR", "tester"),
            ],
        )
    }
}

#[tokio::test]
async fn registers_are_imported_built_mailed_and_sent_again_with_the_rights_of_each_role() {
    let site = Site::found().await;
    let world = &site.world;
    let server = MailServer::start("127.0.0.1:0").await.unwrap();
    let mail = format!("smtp://{}?tls=none", server.addr);
    world.payee(&every(2).replace("required = true", "")).await;
    world
        .terminal("id = \"AGENT-1\"\ngroup = \"agents\"\nusers = [\"guest\"]")
        .await;
    site.grant().await;
    let operator = site.user("unigate_operator").await;
    let builder = site.user("unigate_registers").await;
    let mailer = site.user("unigate_mailer").await;
    let by_hand = operator.environment(world, &mail);
    let done = async |arguments: &[&str]| {
        let done = run(&by_hand, arguments).await;
        assert_eq!(done.code, Some(0), "{arguments:?}: {done:?}");
        done.stdout
    };

    let files = Files::new();
    let day = domain::clock::now().strftime("%d.%m.%Y").to_string();
    let lines: String = (1..=3)
        .map(|number| format!("{number}\t{day}\t10:02:11\t1920679795\t150.00\n"))
        .collect();
    let file = files.write("agent.txt", &format!("a@example.org\n\n{lines}Total:\t3\t450.00\n"));
    let import = [
        "payments",
        "import",
        "--payee",
        "gorvodokanal",
        "--terminal",
        "AGENT-1",
        "--format",
        "qiwi",
        &file,
    ];
    done(&import).await;
    assert_eq!(world.value("SELECT count(*) FROM payment").await, "3");

    let build = Process::start_ready(&builder.environment(world, &mail), &["run", "registers"]).await;
    let send = Process::start_ready(&mailer.environment(world, &mail), &["run", "mailer"]).await;
    server.wait_for_mails(1, PATIENCE).await;
    what_waits_for_a_person_is_told(world, &mailer).await;
    let register = wait_for("the register to be mailed", PATIENCE, async || {
        let id = world
            .value("SELECT coalesce(min(register_id::text) FILTER (WHERE state = 'mailed'), '') FROM register")
            .await;
        (!id.is_empty()).then_some(id)
    })
    .await;

    let (from, to) = ("2020-01-01", "2099-01-01");
    let copy = [
        "registers",
        "resend",
        "--payee",
        "gorvodokanal",
        "--from",
        from,
        "--to",
        to,
        "--include-open",
    ];
    let told = done(&[&copy[..], &["--dry-run"]].concat()).await;
    assert!(told.contains("copy 1 of payee gorvodokanal, 3 payments"), "{told}");
    let again = ["registers", "resend", "--id", &register];
    let told = done(&[&again[..], &["--dry-run"]].concat()).await;
    assert!(
        told.contains("would be mailed again as it is, and is not: 1 mails, to "),
        "{told}"
    );
    assert_eq!(
        world.value("SELECT count(*) FROM register").await,
        "1",
        "a look makes none"
    );
    assert_eq!(
        world
            .value("SELECT count(*) FROM audit WHERE act = 'registers resend'")
            .await,
        "0",
        "nor is it an act"
    );

    done(&copy).await;
    done(&again).await;
    let mails = server.wait_for_mails(3, PATIENCE).await;
    let copied = mails
        .iter()
        .find(|mail| mail.header("X-Unigate-Kind") == Some("copy"))
        .unwrap();
    assert_eq!(copied.header("X-Unigate-Open"), Some("1"));
    assert!(copied.attachments[0].file_name.contains("COPY-OPEN"), "{copied:?}");
    done(&[
        "registers",
        "save",
        &register,
        &files.path().join("saved.zip").display().to_string(),
    ])
    .await;
    done(&[
        "registers",
        "verify",
        &files.path().join("saved.zip").display().to_string(),
    ])
    .await;

    assert!(build.end().await.success());
    replace_a_recipient(world, &register, &done).await;
    build_as_declared_now(world, &done).await;

    // What a role is not for, it cannot do.
    let mailer_by_hand = mailer.environment(world, &mail);
    failed(
        &run(&mailer_by_hand, &["registers", "build", "gorvodokanal"]).await,
        1,
        "permission denied",
    );
    assert!(send.end().await.success());
}

async fn what_waits_for_a_person_is_told(world: &World, mailer: &User) {
    let settings = StoreSettings {
        url: mailer.url.clone().into(),
        ..world.stand.settings().store
    };
    let store = Store::connect(&settings).unwrap();
    for (nth, told) in [(1, "1"), (2, "2")] {
        world
            .sql(&format!(
                "INSERT INTO parked (parked_id, routing_key, content_hash, reason, body, properties)
                 VALUES (gen_random_uuid(), 'payment.accepted', sha256('{nth}'), 'payee_unknown', '', '{{}}');
                 UPDATE notice_open SET told_at = told_at - interval '1 hour'"
            ))
            .await;
        mailer::tell_waiting(&store).await.unwrap();
        assert_eq!(world.value("SELECT told FROM notice_open").await, told);
    }
}

async fn replace_a_recipient(world: &World, register: &str, done: &impl AsyncFn(&[&str]) -> String) {
    let mailing = format!("SELECT state FROM mailing WHERE register_id = '{register}'");
    wait_for("the mail on demand to be recorded", PATIENCE, async || {
        (world.value(&mailing).await == "sent").then_some(())
    })
    .await;
    world
        .sql(&format!(
            "UPDATE mailing SET state = 'failed', sent_at = NULL WHERE register_id = '{register}'"
        ))
        .await;
    let recipient = ["--recipient", "buh@example.org", "--instead", "new@example.org"];
    done(&[&["registers", "requeue", register][..], &recipient].concat()).await;
    let for_whom = format!("SELECT mail_to::text FROM register WHERE register_id = '{register}'");
    assert_eq!(world.value(&for_whom).await, "{new@example.org}");
}

/// No registers worker runs any more.
async fn build_as_declared_now(world: &World, done: &impl AsyncFn(&[&str]) -> String) {
    done(&["registers", "build", "gorvodokanal"]).await;
    world
        .sql("UPDATE register SET state = 'failed', due_at = NULL WHERE state = 'frozen'")
        .await;
    let mended = every(2).replace("required = true", "").replace("zip = true", "");
    world.payee(&mended).await;
    let failed = "SELECT register_id FROM register WHERE state = 'failed' AND built_at IS NULL";
    let register = world.value(failed).await;
    let told = done(&["registers", "requeue", &register, "--as-declared-now"]).await;
    assert!(told.contains("with version 2 of its payee"), "{told}");
}

#[tokio::test]
async fn a_right_that_is_gone_from_the_file_is_gone_from_the_database() {
    let site = Site::found().await;
    let world = &site.world;
    site.grant().await;
    let rights = "SELECT concat_ws(' ',
            has_function_privilege('unigate_operator', 'take_back_import(uuid, text)', 'execute'),
            has_function_privilege('unigate_readonly', 'take_back_import(uuid, text)', 'execute'),
            has_database_privilege('unigate_cards', current_database(), 'temporary'),
            has_database_privilege('unigate_readonly', current_database(), 'temporary'),
            has_schema_privilege('unigate_readonly', 'public', 'create'),
            has_column_privilege('unigate_readonly', 'card', 'sealed', 'select'))";
    assert_eq!(world.value(rights).await, "t f t f f f");
    // Of an earlier version of the file.
    world
        .sql(
            "GRANT EXECUTE ON FUNCTION take_back_import(uuid, text) TO unigate_readonly;
             GRANT CREATE ON SCHEMA public TO unigate_readonly;
             GRANT SELECT (sealed) ON card TO unigate_readonly;
             DO $$ BEGIN
                 EXECUTE format('GRANT TEMPORARY ON DATABASE %I TO unigate_readonly', current_database());
             END $$",
        )
        .await;
    assert_eq!(world.value(rights).await, "t t t t t t");
    site.grant().await;
    assert_eq!(world.value(rights).await, "t f t f f f");
}
