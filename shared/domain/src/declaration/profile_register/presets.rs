//! Ready layouts, by the word of `format`. Each is what the payee's program is known to read; any key of it can be said
//! otherwise in `[register.layout]`.
//!
//! Sources: QIWI's rules of settlement (dev.qiwi.com), LANBilling's manual of registers (docs.lanbilling.ru), the standard
//! of exchange with bank clients of 1C (v8.1c.ru), registers of payments as Sberbank gives them to utilities. What separates
//! LANBilling's columns is described nowhere, and Sberbank's columns differ by contract: both are to be confirmed with the
//! payee (examples/registers/README.md says so).

use super::{ColumnProfile, DecimalMark, Fact, Formulas, LayoutProfile, RegisterEncoding, RegisterFormat};

/// What a format or preset says, as far as it says anything.
pub(super) fn layout(format: RegisterFormat) -> LayoutProfile {
    match format {
        RegisterFormat::Qiwi => qiwi(),
        RegisterFormat::Lanbilling => lanbilling(),
        RegisterFormat::Sberbank => sberbank(),
        RegisterFormat::OneC => one_c(),
        RegisterFormat::Csv
        | RegisterFormat::Fixed
        | RegisterFormat::Text
        | RegisterFormat::Xlsx
        | RegisterFormat::Dbf
        | RegisterFormat::Xml
        | RegisterFormat::Jsonl => LayoutProfile::default(),
    }
}

/// The encoding, unless the payee says otherwise.
pub(super) fn encoding(format: RegisterFormat) -> RegisterEncoding {
    match format {
        RegisterFormat::Sberbank | RegisterFormat::OneC => RegisterEncoding::Windows1251,
        RegisterFormat::Dbf => RegisterEncoding::Cp866,
        _ => RegisterEncoding::Utf8,
    }
}

fn text(text: &str) -> Option<String> {
    Some(text.to_owned())
}

fn column(value: Fact) -> ColumnProfile {
    ColumnProfile {
        value: Some(value),
        ..ColumnProfile::default()
    }
}

/// What the next program splits at a separator, without understanding quotes, and no spreadsheet reads.
fn for_programs() -> LayoutProfile {
    LayoutProfile {
        names: Some(false),
        quotes: Some(false),
        formulas: Some(Formulas::DisarmText),
        extension: text("txt"),
        ..LayoutProfile::default()
    }
}

fn qiwi() -> LayoutProfile {
    LayoutProfile {
        columns: [
            Fact::Number,
            Fact::PaidDate,
            Fact::PaidTime,
            Fact::Account,
            Fact::Amount,
        ]
        .map(column)
        .into(),
        separator: text("\t"),
        date: text("%d.%m.%Y"),
        time: text("%H:%M:%S"),
        header: text("{{ mail }}\n\n"),
        trailer: text("Total:\t{{ count }}\t{{ total }}\n"),
        ..for_programs()
    }
}

fn lanbilling() -> LayoutProfile {
    let empty = ColumnProfile::default;
    LayoutProfile {
        columns: vec![
            column(Fact::Account),
            column(Fact::Number),
            column(Fact::PaidDate),
            column(Fact::Amount),
            empty(),
            empty(),
            column(Fact::ReceiptNumber),
            empty(),
        ],
        separator: text("\t"),
        date: text("%Y-%m-%d"),
        header: text("{{ settlement_account }}\n"),
        ..for_programs()
    }
}

fn sberbank() -> LayoutProfile {
    LayoutProfile {
        columns: [
            Fact::PaidDate,
            Fact::PaidTime,
            Fact::Terminal,
            Fact::Number,
            Fact::Account,
            Fact::Paid,
            Fact::Amount,
            Fact::Fee,
        ]
        .map(column)
        .into(),
        separator: text(";"),
        decimal: Some(DecimalMark::Comma),
        date: text("%d-%m-%Y"),
        time: text("%H-%M-%S"),
        trailer: text("={{ count }};{{ total_paid }};{{ total }};{{ total_fee }};{{ sequence }};{{ date }}\n"),
        ..for_programs()
    }
}

/// One receipt of money per payment: who reads it posts them to the payee's account.
const ONE_C_HEADER: &str = "1CClientBankExchange
ВерсияФормата=1.03
Кодировка=Windows
Отправитель={{ constants.sender }}
Получатель={{ constants.receiver }}
ДатаСоздания={{ date }}
ВремяСоздания={{ time }}
ДатаНачала={{ first_date }}
ДатаКонца={{ last_date }}
РасчСчет={{ settlement_account }}
СекцияРасчСчет
ДатаНачала={{ first_date }}
ДатаКонца={{ last_date }}
РасчСчет={{ settlement_account }}
ВсегоПоступило={{ total }}
КонецРасчСчет
";
const ONE_C_ROW: &str = "СекцияДокумент=Платежное поручение
Номер={{ number }}
Дата={{ paid_date }}
Сумма={{ amount }}
ПлательщикСчет={{ constants.payer_account }}
Плательщик={{ constants.payer }}
ПлательщикИНН={{ constants.payer_inn }}
ПолучательСчет={{ settlement_account }}
ДатаПоступило={{ accepted_date }}
Получатель={{ payee_name }}
ПолучательИНН={{ inn }}
ПолучательКПП={{ kpp }}
ПолучательБанк1={{ bank }}
ПолучательБИК={{ bik }}
ПолучательКорсчет={{ corr_account }}
ВидОплаты=01
Очередность=5
НазначениеПлатежа={{ constants.purpose }} {{ account }}
КонецДокумента
";

fn one_c() -> LayoutProfile {
    let constants = [
        ("sender", "Universal Gateways"),
        ("receiver", "1С:Предприятие"),
        ("payer", ""),
        ("payer_inn", ""),
        ("payer_account", ""),
        ("purpose", "Лицевой счет"),
    ];
    LayoutProfile {
        date: text("%d.%m.%Y"),
        time: text("%H:%M:%S"),
        header: text(ONE_C_HEADER),
        row: text(ONE_C_ROW),
        trailer: text("КонецФайла\n"),
        formulas: Some(Formulas::Keep),
        extension: text("txt"),
        constants: constants
            .map(|(name, value)| (name.to_owned(), value.to_owned()))
            .into(),
        ..LayoutProfile::default()
    }
}
