//! Names of a payee's tables and columns as its database wants them written: plain where that is the same name, so that a
//! scenario stays readable, and quoted where it would be another one, or none.

use sql::Dialect;

/// Words that one of the databases keeps for itself, in any place where a table or a column is named. A name that only
/// another one keeps is quoted too: that changes nothing.
const RESERVED: &str = " accessible add all alter analyse analyze and any array as asc asensitive asymmetric authorization \
    autoincrement before begin between bigint binary blob both by call cascade case cast change char character check collate \
    collation column commit concurrently condition constraint continue convert create cross cube cume_dist current_catalog \
    current_date current_role current_schema current_time current_timestamp current_user cursor database databases dec \
    decimal declare default deferrable delayed delete dense_rank desc describe deterministic distinct distinctrow div do \
    double drop dual each else elseif empty enclosed end escape escaped except exists exit explain false fetch first_value \
    float for force foreign freeze from full fulltext function generated glob grant group grouping groups having if ignore \
    ilike in index indexed infile initially inner inout insensitive insert instead int integer intersect interval into is \
    isnull iterate join json_table key keys kill lag last_value lateral lead leading leave left like limit linear lines load \
    localtime localtimestamp lock long longblob longtext loop low_priority match maxvalue mediumblob mediumint mediumtext \
    middleint mod modifies natural not nothing notnull nth_value ntile null nullif numeric of offset on only optimize option \
    optionally or order out outer outfile over overlaps partition percent_rank period placing precision primary procedure \
    purge raise range rank read reads real recursive references regexp release rename repeat replace require resignal \
    restrict return returning revoke right rlike rollback row row_number rows savepoint schema schemas select sensitive \
    separator session_user set show signal similar smallint some spatial specific sql sqlexception sqlstate sqlwarning ssl \
    starting straight_join symmetric system system_user table tablesample terminated then tinyblob tinyint tinytext to \
    trailing transaction trigger true undo union unique unlock unsigned update usage use user using utc_date utc_time \
    utc_timestamp values varbinary varchar varcharacter variadic varying verbose virtual when where while window with write \
    xor year_month zerofill ";

/// A name as it is written in a statement.
pub(super) fn quoted(name: &str, dialect: Dialect) -> String {
    if is_plain(name, dialect) {
        return name.to_owned();
    }
    let quote = match dialect {
        Dialect::Mysql => '`',
        Dialect::Postgres | Dialect::Sqlite | Dialect::Odbc => '"',
    };
    let doubled = name.replace(quote, &format!("{quote}{quote}"));
    format!("{quote}{doubled}{quote}")
}

/// Whether a name means itself as it stands. PostgreSQL reads capital letters as small ones; the others tell no difference, or
/// keep them.
fn is_plain(name: &str, dialect: Dialect) -> bool {
    let first = |c: char| c.is_ascii_alphabetic() || c == '_';
    let plain = |c: char| first(c) || c.is_ascii_digit();
    let capitals = dialect == Dialect::Postgres && name.contains(|c: char| c.is_ascii_uppercase());
    let is_reserved = RESERVED.contains(&format!(" {} ", name.to_ascii_lowercase()));
    name.starts_with(first) && name.chars().all(plain) && !capitals && !is_reserved
}

/// A text as TOML has it on one line: as it stands between single quotes where there are double ones in it, else between
/// double quotes with what has to be escaped.
pub(super) fn written(text: &str) -> String {
    let as_it_stands = |c: char| c != '\'' && !c.is_control();
    if text.contains('"') && text.chars().all(as_it_stands) {
        return format!("'{text}'");
    }
    let mut written = String::from('"');
    for c in text.chars() {
        match c {
            '"' | '\\' => written.extend(['\\', c]),
            c if c.is_control() => written.push_str(&format!("\\u{:04X}", u32::from(c))),
            c => written.push(c),
        }
    }
    written.push('"');
    written
}

/// A name as people read it in a comment, which is one line.
pub(super) fn in_words(name: &str) -> String {
    name.replace(char::is_control, " ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_quoted_where_its_database_would_not_read_it() {
        for (name, postgres, mysql) in [
            ("accounts", "accounts", "accounts"),
            ("paid_at", "paid_at", "paid_at"),
            ("date", "date", "date"),
            ("number", "number", "number"),
            ("amount", "amount", "amount"),
            ("Accounts", "\"Accounts\"", "Accounts"),
            ("order", "\"order\"", "`order`"),
            ("User", "\"User\"", "`User`"),
            ("лицевой счёт", "\"лицевой счёт\"", "`лицевой счёт`"),
            ("2024", "\"2024\"", "`2024`"),
            ("a\"b`c", "\"a\"\"b`c\"", "`a\"b``c`"),
            ("a:b", "\"a:b\"", "`a:b`"),
        ] {
            assert_eq!(quoted(name, Dialect::Postgres), postgres);
            assert_eq!(quoted(name, Dialect::Mysql), mysql);
        }
        assert_eq!(quoted("Accounts", Dialect::Sqlite), "Accounts");
        assert_eq!(quoted("order", Dialect::Sqlite), "\"order\"");
    }

    #[test]
    fn a_text_comes_back_out_of_toml() {
        for text in ["plain", "\"a\"", "'a' \"b\" \\", "two\nlines", "е\u{301} \u{85}\u{7f}"] {
            let read: toml::Table = toml::from_str(&format!("x = {}", written(text))).unwrap();
            assert_eq!(read["x"].as_str(), Some(text));
        }
        assert_eq!(written("select \"a\""), "'select \"a\"'");
    }
}
