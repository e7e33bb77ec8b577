//! The ready texts, in the small language of templates.

use super::Language;

/// A ready mail.
pub(super) struct Ready {
    pub(super) subject: &'static str,
    pub(super) body: &'static str,
}

pub(super) fn of(language: Language) -> &'static Ready {
    match language {
        Language::En => &ENGLISH,
        Language::Ru => &RUSSIAN,
    }
}

/// `part 1 of 3`, where a subject does not say it.
pub(super) fn part(language: Language, number: i32, of: i32) -> String {
    match language {
        Language::En => format!("part {number} of {of}"),
        Language::Ru => format!("часть {number} из {of}"),
    }
}

const ENGLISH: Ready = Ready {
    subject: "{% if copy %}COPY{% if open %} with open payments{% endif %}: {% endif %}Register {% if series != \"main\" %}{{ series }} {% endif %}{{ sequence }}\
        {% if part %}, part {{ part }} of {{ parts }}{% endif %}, {{ name }} ({{ payee }}): \
        {{ count }} {% if count == 1 %}payment{% else %}payments{% endif %}, {{ total }}",
    body: "Register {% if series != \"main\" %}{{ series }} {% endif %}{{ sequence }} of {{ name }} ({{ payee }})
{% if part %}
Part {{ part }} of {{ parts }}; count and total are of this part.
{% endif %}

{% if count == 0 %}
There were no payments in this period.
{% endif %}
Payments: {{ count }}
Total: {{ total }}
{% if count == 0 %}
Period from: {{ accepted_from | date(\"%Y-%m-%d %H:%M:%S %:z\") }}
Period to: {{ accepted_to | date(\"%Y-%m-%d %H:%M:%S %:z\") }}
{% else %}
Accepted from: {{ accepted_from | date(\"%Y-%m-%d %H:%M:%S %:z\") }}
Accepted to: {{ accepted_to | date(\"%Y-%m-%d %H:%M:%S %:z\") }}
{% endif %}
File: {{ file }} ({{ bytes }} bytes)
Register id: {{ register_id }}
{% if copy %}

This is a copy: its payments were in regular registers before, under the same numbers.
{% if open %}
But {{ open }} of them were not: they come with the next regular register, under the same numbers.
{% endif %}
{% endif %}
",
};

const RUSSIAN: Ready = Ready {
    subject: "{% if copy %}COPY (повтор{% if open %} с платежами вне реестров{% endif %}): {% endif %}Реестр {% if series != \"main\" %}{{ series }} {% endif %}{{ sequence }}\
        {% if part %}, часть {{ part }} из {{ parts }}{% endif %}, {{ name }} ({{ payee }}): \
        платежей {{ count }}, сумма {{ total }}",
    body:
        "Реестр {% if series != \"main\" %}{{ series }} {% endif %}{{ sequence }}, получатель {{ name }} ({{ payee }})
{% if part %}
Часть {{ part }} из {{ parts }}; количество и сумма относятся к этой части.
{% endif %}

{% if count == 0 %}
За этот период платежей не было.
{% endif %}
Платежей: {{ count }}
Сумма: {{ total }}
{% if count == 0 %}
Начало периода: {{ accepted_from | date(\"%d.%m.%Y %H:%M:%S %:z\") }}
Конец периода: {{ accepted_to | date(\"%d.%m.%Y %H:%M:%S %:z\") }}
{% else %}
Приняты с: {{ accepted_from | date(\"%d.%m.%Y %H:%M:%S %:z\") }}
Приняты по: {{ accepted_to | date(\"%d.%m.%Y %H:%M:%S %:z\") }}
{% endif %}
Файл: {{ file }}, размер в байтах: {{ bytes }}
Идентификатор реестра: {{ register_id }}
{% if copy %}

Это повтор (COPY): эти платежи уже были в обычных реестрах под теми же номерами.
{% if open %}
Кроме платежей, которых в них ещё нет ({{ open }}): они придут в следующем обычном реестре под теми же номерами.
{% endif %}
{% endif %}
",
};
