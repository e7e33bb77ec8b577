//! One payment, as it is named on the command line: by its payment_id, or by the number the payee knows it by, whichever is at hand.

use domain::Invalid;
use domain::ids::{Number, PaymentId};

use crate::operator::Operator;

/// Which payment.
#[derive(Clone, Debug)]
pub(crate) enum Named {
    Id(PaymentId),
    Number(Number),
}

impl Named {
    /// Reads what was written.
    pub(super) fn parse(text: &str) -> Result<Self, Invalid> {
        PaymentId::parse(text)
            .map(Self::Id)
            .or_else(|_| Number::parse(text).map(Self::Number))
            .map_err(|_| Invalid::new("payment", "is neither a payment_id nor a number"))
    }

    /// Its id. That of a number is looked up; whether there is a payment with an id is for the act to say.
    pub(super) async fn id(&self, operator: &Operator) -> anyhow::Result<PaymentId> {
        match self {
            Self::Id(id) => Ok(*id),
            Self::Number(number) => {
                let found = crate::commands::payments::find(operator, &number.to_string()).await?;
                Ok(found.payment_id)
            }
        }
    }

    /// Their ids.
    pub(super) async fn ids(named: &[Self], operator: &Operator) -> anyhow::Result<Vec<PaymentId>> {
        let mut ids = Vec::with_capacity(named.len());
        for one in named {
            ids.push(one.id(operator).await?);
        }
        Ok(ids)
    }
}
