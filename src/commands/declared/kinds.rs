//! Payees, products and terminals as kinds of declarations: their lists, and what is particular about applying them.

use domain::declaration::{Payee, Product, Terminal};
use serde_json::json;
use store::declarations::{self, Applied, Declarations, Declared};
use store::{Store, StoreError, Tx, registers};

use super::{Kind, Recipients, Written};
use crate::output::Column;

impl Kind for Payee {
    const COLUMNS: &'static [Column<super::Listed<Self>>] = &[
        Column::new("payee", |row| json!(row.value.id)),
        Column::new("name", |row| json!(row.value.name)),
        Column::new("gateway", |row| json!(row.value.gateway)),
        Column::new("currency", |row| json!(row.value.currency)),
        Column::new("suspended", |row| json!(row.value.suspended)),
        Column::new("retired", |row| json!(row.value.retired)),
        Column::new("version", |row| json!(row.version)),
        Column::new("updated_at", |row| json!(row.updated_at)),
    ];

    fn all(declarations: Declarations) -> Vec<Declared<Self>> {
        declarations.payees.into_values().collect()
    }

    fn recipients(&self) -> Recipients<'_> {
        let texts = self.register.iter().flat_map(|profile| &profile.age_recipients);
        texts
            .enumerate()
            .map(|(at, text)| (format!("register.age_recipients[{at}]"), text.as_str()))
            .collect()
    }

    /// A file that does not speak of `suspended` leaves it as an operator has set it: applying a directory again must not
    /// resume a payee by the way.
    async fn prepare(store: &Store, tx: &Tx, written: &mut [Written<Self>]) -> Result<(), StoreError> {
        let current = declarations::load_in(tx).await?;
        for one in written.iter_mut().filter(|one| !one.members.contains("suspended")) {
            one.value.suspended = current
                .payees
                .get(&one.value.id)
                .is_some_and(|payee| payee.value.suspended);
        }
        let payees: Vec<Payee> = written.iter().map(|one| one.value.clone()).collect();
        registers::close_before_change(store, tx, &payees).await.map(drop)
    }

    async fn apply(&self, tx: &Tx, who: &str) -> Result<Applied, StoreError> {
        declarations::apply_payee(tx, self, who).await
    }
}

impl Kind for Product {
    const COLUMNS: &'static [Column<super::Listed<Self>>] = &[
        Column::new("product", |row| json!(row.value.id)),
        Column::new("name", |row| json!(row.value.name)),
        Column::new("payee", |row| json!(row.value.payee)),
        Column::new("face_value", |row| json!(row.value.face_value)),
        Column::new("price", |row| json!(row.value.price)),
        Column::new("currency", |row| json!(row.value.currency)),
        Column::new("suspended", |row| json!(row.value.suspended)),
        Column::new("version", |row| json!(row.version)),
        Column::new("updated_at", |row| json!(row.updated_at)),
    ];

    fn all(declarations: Declarations) -> Vec<Declared<Self>> {
        declarations.products.into_values().collect()
    }

    async fn apply(&self, tx: &Tx, who: &str) -> Result<Applied, StoreError> {
        declarations::apply_product(tx, self, who).await
    }
}

impl Kind for Terminal {
    const COLUMNS: &'static [Column<super::Listed<Self>>] = &[
        Column::new("terminal", |row| json!(row.value.id)),
        Column::new("group", |row| json!(row.value.group)),
        Column::new("users", |row| json!(row.value.users)),
        Column::new("sealed", |row| json!(row.value.age_recipient.is_some())),
        Column::new("version", |row| json!(row.version)),
        Column::new("updated_at", |row| json!(row.updated_at)),
    ];

    fn all(declarations: Declarations) -> Vec<Declared<Self>> {
        declarations.terminals.into_values().collect()
    }

    fn recipients(&self) -> Recipients<'_> {
        self.age_recipient
            .iter()
            .map(|text| ("age_recipient".to_owned(), text.as_str()))
            .collect()
    }

    async fn apply(&self, tx: &Tx, who: &str) -> Result<Applied, StoreError> {
        declarations::apply_terminal(tx, self, who).await
    }
}
