//! What is seldom asked of tables that only grow goes by an index, and reads little of what is there.

use serde_json::Value;
use store::scratch;

use crate::deliveries_acts::world;
use crate::fixtures::UTILITY;
use crate::world::World;

/// Two hundred days of a payee, a hundred payments in each, of which all but the last few are in a register; as many of one
/// that gets registers of what was accepted; as many mailings, alerts, numbers told at checks and shredded cards.
async fn years(world: &World) {
    world.payee(UTILITY).await;
    world
        .sql(
            "INSERT INTO series (payee_id, name, holds) VALUES ('isp', 'delivered', 'delivered');
             INSERT INTO payment (payment_id, number, payee_id, payee_version, gateway, terminal_id, account, amount, currency,
                                  paid_at, accepted_at, delivered_at, state)
             SELECT gen_random_uuid(), n, 'isp', 1, 'unikassa', 'T-1', 'a', 100, 'RUB', at, at, at, 'delivered'
             FROM generate_series(1, 20000) n, LATERAL (SELECT '2026-01-01Z'::timestamptz + n * interval '864 s' AS at) d;
             INSERT INTO register (register_id, series_id, payee_id, payee_version, kind, sequence, lo, hi, period_from, period_to,
                                   cutoff, first_accepted_at, last_accepted_at, payment_count, total, currency)
             SELECT gen_random_uuid(), series_id, 'isp', 1, 'regular', day, day, day, at, at + interval '1 day',
                    at + interval '1 day', at, at, 100, 10000, 'RUB'
             FROM series, generate_series(1, 200) day,
                  LATERAL (SELECT '2025-12-31Z'::timestamptz + day * interval '1 day' AS at) d
             WHERE payee_id = 'isp';
             INSERT INTO payment (payment_id, number, payee_id, payee_version, gateway, terminal_id, account, amount, currency,
                                  paid_at, accepted_at, series_id, position)
             SELECT gen_random_uuid(), 20000 + n, payee_id, 1, 'registers', 'T-1', 'a', 100, 'RUB', at, at, series_id, n
             FROM series, generate_series(1, 20000) n, LATERAL (SELECT '2026-01-01Z'::timestamptz + n * interval '864 s' AS at) d
             WHERE payee_id = 'gorvodokanal';
             INSERT INTO register (register_id, series_id, payee_id, payee_version, kind, sequence, lo, hi, period_from, period_to,
                                   cutoff, first_accepted_at, last_accepted_at, payment_count, total, currency)
             SELECT gen_random_uuid(), series_id, payee_id, 1, 'regular', day, 100 * day - 99, least(100 * day, 19990), at,
                    at + interval '1 day', at + interval '1 day', at, at, 100, 10000, 'RUB'
             FROM series, generate_series(1, 200) day,
                  LATERAL (SELECT '2025-12-31Z'::timestamptz + day * interval '1 day' AS at) d
             WHERE payee_id = 'gorvodokanal';
             UPDATE series SET last_hi = 19990 WHERE payee_id = 'gorvodokanal';
             INSERT INTO artifact (artifact_id, sha256, bytes) VALUES (gen_random_uuid(), sha256('a'), 1);
             INSERT INTO register_part SELECT register_id, 1, 'f', sha256('a'), 100, 10000 FROM register WHERE payee_id = 'isp';
             INSERT INTO mailing (mailing_id, register_id, recipient, message_id, state, due_at, sent_at)
             SELECT gen_random_uuid(), register_id, n || '@example.org', 'm', 'sent', NULL, now()
             FROM register, generate_series(1, 100) n WHERE payee_id = 'isp';
             INSERT INTO mailing (mailing_id, register_id, recipient, message_id)
             SELECT gen_random_uuid(), register_id, 'late@example.org', 'm' FROM register WHERE payee_id = 'isp' AND sequence > 190;
             INSERT INTO notice (notice_id, kind, subject, title, first_at, last_at, gathered_at)
             SELECT gen_random_uuid(), 'k', 's-' || n % 10, 't', at, at, at
             FROM generate_series(1, 20000) n, LATERAL (SELECT now() - n * interval '1 hour' AS at) d;
             INSERT INTO card (product_id, pos, batch_id, serial, state, exposed, reservation_id)
             SELECT 'p', n, 1, n, 'sold', true, gen_random_uuid() FROM generate_series(1, 20000) n;
             INSERT INTO dealt_number (payment_id, number, dealt_at)
             SELECT gen_random_uuid(), n, now() - n % 400 * interval '1 day' FROM generate_series(1, 20000) n;
             ANALYZE payment, register, mailing, notice, card, dealt_number, series",
        )
        .await;
}

/// Buffers that a plan touched, and the large tables that it went through as a whole.
fn touched(plan: &Value) -> (u64, Vec<String>) {
    const LARGE: [&str; 5] = ["payment", "mailing", "notice", "card", "dealt_number"];
    let count = |name: &str| plan[name].as_u64().unwrap_or(0);
    let buffers = count("Shared Hit Blocks") + count("Shared Read Blocks");
    let table = plan["Relation Name"].as_str().unwrap_or_default();
    let is_whole = plan["Node Type"] == "Seq Scan" && LARGE.contains(&table);
    let whole = is_whole.then(|| table.to_owned()).into_iter().collect();
    let below = plan["Plans"].as_array().into_iter().flatten().map(touched);
    below.fold((buffers, whole), |(most, mut all), (buffers, whole)| {
        all.extend(whole);
        (most.max(buffers), all)
    })
}

#[tokio::test]
async fn what_is_seldom_asked_reads_little_of_what_has_gathered_in_years() {
    let world = world().await;
    years(&world).await;
    look(&world, &scratch::seldom_queries()).await;
    // Then its last payments wait, and what was registered before does still not matter.
    world.sql("UPDATE payee SET suspended = true; ANALYZE payee").await;
    look(&world, &scratch::seldom_queries()).await;
}

async fn look(world: &World, queries: &[(&str, String, &str)]) {
    for (name, query, params) in queries {
        for mode in ["force_custom_plan", "force_generic_plan"] {
            let text = format!(
                "BEGIN; SET LOCAL plan_cache_mode = {mode}; PREPARE looked AS {query};
                 EXPLAIN (ANALYZE, BUFFERS, FORMAT JSON) EXECUTE looked {params}; ROLLBACK; DEALLOCATE looked"
            );
            let found = world.sql(&text).await;
            let plan: Value = serde_json::from_str(found[0][0].as_deref().unwrap()).unwrap();
            let (buffers, whole) = touched(&plan[0]["Plan"]);
            assert!(
                buffers <= 200 && whole.is_empty(),
                "{name}, {mode}: {buffers} buffers, all of {whole:?}\n{plan:#}"
            );
        }
    }
}
