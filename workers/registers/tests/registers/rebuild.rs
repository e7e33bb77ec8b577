//! What could not be built for its declaration is built as the payee is declared now, when an operator says so.

use domain::RegisterId;
use registers::{Built, close_all_due};
use serde_json::json;
use store::registers::{CopyRequest, requeue_build, requeue_build_as_declared, resend};

use crate::stand::{Stand, gvk, on_stand, payee};

/// Nothing can be sealed so.
fn broken() -> serde_json::Value {
    json!({ "seal": [{ "with": "command", "argv": ["/no/such/seal"], "extension": "x" }] })
}

impl Stand {
    async fn as_declared(&self, register: RegisterId) -> Result<i32, String> {
        let requeued = requeue_build_as_declared(&self.store, register, "anna").await;
        requeued.map_err(|error| error.to_string())
    }

    async fn mailed_to(&self) -> String {
        self.value("SELECT string_agg(recipient, ' ' ORDER BY recipient) FROM mailing")
            .await
    }
}

#[tokio::test]
async fn a_register_that_its_declaration_keeps_from_being_built_is_built_as_declared_now() {
    on_stand(|stand| async move {
        stand.declare(&payee(broken())).await;
        stand.back_in_2020().await;
        stand.pay("2020-03-01T13:00:00Z", 2).await;
        let register = close_all_due(&stand.store).await.unwrap()[0];
        let early = stand.as_declared(register).await.unwrap_err();
        assert!(early.contains("is frozen: its build has not failed"), "{early}");
        assert_eq!(stand.build_all().await, [Built::Failed]);
        let same = stand.as_declared(register).await.unwrap_err();
        assert!(same.contains("it was closed with version 1 of its payee"), "{same}");

        stand
            .declare(&payee(
                json!({ "mail_to": ["new@example.org"], "schedule": "0 6 * * *" }),
            ))
            .await;
        requeue_build(&stand.store, register, "anna").await.unwrap();
        assert_eq!(stand.build_all().await, [Built::Failed], "with what it was closed with");
        assert_eq!(stand.as_declared(register).await, Ok(2));
        assert_eq!(stand.build_all().await, [Built::Recorded]);
        assert_eq!(stand.list().await[0].payee_version, 2);
        assert_eq!(
            stand.ranges().await,
            ["1: 1-2 2 20000 03-01 21:00"],
            "what it holds stays"
        );
        assert_eq!(stand.file(register).await.0, "gvk-main-000001.csv");
        assert_eq!(stand.mailed_to().await, "new@example.org");
        let payment = stand.value("SELECT min(payment_id::text) FROM payment").await;
        let payment = domain::ids::PaymentId::parse(&payment).unwrap();
        let explained = store::registers::membership(&stand.store, payment, "gvk")
            .await
            .unwrap();
        let closed_as = explained.register.unwrap().payee.register.unwrap();
        assert_eq!(
            json!(closed_as.schedule),
            json!("0 0 * * *"),
            "it is explained as it was declared when it was closed"
        );
        let audited = "SELECT before::text || ' ' || after::text FROM audit
             WHERE act = 'registers rebuild' AND before ->> 'payee_version' = '1' AND after ->> 'payee_version' = '2'";
        let audited = stand.value(audited).await;
        assert!(
            audited.contains("buh@example.org") && audited.contains("new@example.org"),
            "{audited}"
        );
        stand.declare(&payee(json!({ "zip": true }))).await;
        let had = stand.as_declared(register).await.unwrap_err();
        assert!(had.contains("has its file, which goes out as it is"), "{had}");
        let unknown = stand.as_declared(RegisterId::random()).await.unwrap_err();
        assert!(unknown.contains("is unknown"), "{unknown}");
    })
    .await;
}

#[tokio::test]
async fn a_copy_goes_where_it_was_asked_for_whatever_is_declared_now() {
    on_stand(|stand| async move {
        stand.declare(&payee(broken())).await;
        stand.back_in_2020().await;
        stand.pay("2020-03-01T13:00:00Z", 2).await;
        close_all_due(&stand.store).await.unwrap();
        let mut failed = Vec::new();
        for to_address in [None, Some("auditor@example.org".to_owned())] {
            let request = CopyRequest {
                payee: gvk(),
                from: "2020-03-01T00:00:00Z".parse().unwrap(),
                to: "2020-03-02T00:00:00Z".parse().unwrap(),
                requested_by: "anna".to_owned(),
                to_address,
                format: None,
                include_open: false,
            };
            failed.extend(resend(&stand.store, &request).await.unwrap());
        }
        assert_eq!(stand.build_all().await, [Built::Failed; 3]);
        stand.declare(&payee(json!({ "mail_to": ["new@example.org"] }))).await;
        for copy in failed {
            assert_eq!(stand.as_declared(copy).await, Ok(2));
        }
        assert_eq!(stand.build_all().await, [Built::Recorded; 2]);
        assert_eq!(stand.mailed_to().await, "auditor@example.org new@example.org");
    })
    .await;
}
