//! Every key of the configuration has a test at the place where it takes effect: here is which.
//!
//! A new key fails this test until its line is here, and a test that was renamed fails it too.

use std::path::Path;

/// A file of the repository, a test in it, and the keys whose effect it shows.
const SHOWN: &[(&str, &str, &[&str])] = &[
    (
        "src/dispatch/breaker.rs",
        "failures_that_are_rare_in_time_or_among_successes_do_not_open_it",
        &["destinations.*.breaker.window"],
    ),
    ("tests/it/config/verbs.rs", "check_names_the_tokens", &["admin.tokens[].name"]),
    (
        "tests/it/answers/feeds.rs",
        "a_list_is_loaded_kept_and_outlives_a_restart_without_its_provider",
        &[
            "sources.*.allow_ips[].feed",
            "sources.*.allow_ips[].feed.format",
            "sources.*.allow_ips[].feed.pointer",
            "sources.*.allow_ips[].feed.url",
        ],
    ),
    (
        "tests/it/answers/feeds.rs",
        "nothing_worse_takes_the_place_of_a_good_list",
        &["sources.*.allow_ips[].feed.refresh"],
    ),
    (
        "tests/it/gateway/bounds.rs",
        "at_bytes_max_only_open_events_refuse_admission_and_closed_ones_make_room",
        &["store.bytes_max"],
    ),
    (
        "tests/it/gateway/bounds.rs",
        "below_disk_free_min_nothing_is_admitted_and_all_is_well_again_when_there_is_room",
        &["store.disk_free_min"],
    ),
    (
        "tests/it/gateway/bounds.rs",
        "bodies_beyond_body_memory_max_are_refused_until_there_is_room",
        &["ingress.body_memory_max"],
    ),
    (
        "tests/it/gateway/bounds.rs",
        "retention_removes_closed_events_keeps_open_ones_and_forgets_no_mark",
        &["store.retention", "store.retention.events"],
    ),
    (
        "tests/it/gateway/deliveries.rs",
        "a_delivery_is_attempted_until_it_succeeds_and_every_attempt_is_on_record",
        &["destinations.*.retry.schedule"],
    ),
    (
        "tests/it/gateway/deliveries.rs",
        "an_open_breaker_burns_no_attempts",
        &["destinations.*.breaker", "destinations.*.breaker.failures", "destinations.*.breaker.open"],
    ),
    (
        "tests/it/gateway/deliveries.rs",
        "every_matching_route_counts_and_two_routes_to_one_destination_make_one_delivery",
        &["routes", "routes[].from", "routes[].to", "routes[].types"],
    ),
    ("tests/it/gateway/duplicates.rs", "the_same_id_of_two_sources_is_two_events", &["sources"]),
    ("tests/it/gateway/held.rs", "a_new_url_applies_to_deliveries_that_wait", &["destinations.*.url"]),
    (
        "tests/it/gateway/held.rs",
        "deliveries_of_a_removed_destination_are_held_until_its_name_returns_even_with_another_url",
        &["destinations"],
    ),
    (
        "tests/it/gateway/isolation.rs",
        "a_destination_at_its_queue_max_sends_its_own_new_deliveries_to_the_dead_letters",
        &["destinations.*.queue_max"],
    ),
    (
        "tests/it/gateway/reload.rs",
        "a_reload_cannot_move_the_listeners_or_the_store_and_says_so",
        &["admin.listen", "ingress.listen"],
    ),
    (
        "tests/it/gateway/signatures.rs",
        "auto_renews_a_signature_that_would_be_too_old_and_keeps_the_original_beside_it",
        &["destinations.*.signature"],
    ),
    (
        "tests/it/gateway/signatures.rs",
        "our_own_signature_stands_beside_the_senders_and_is_new_for_each_attempt",
        &["destinations.*.sign", "destinations.*.sign.secret"],
    ),
    (
        "tests/it/gateway/statuses.rs",
        "too_many_requests_are_refused_by_address_and_verified_ones_by_source",
        &["ingress.trusted_proxies", "sources.*.rate_limit"],
    ),
    (
        "tests/it/gateway/statuses.rs",
        "what_is_kept_is_answered_as_the_source_says",
        &[
            "sources.*.path",
            "sources.*.respond",
            "sources.*.respond.body",
            "sources.*.respond.content_type",
            "sources.*.respond.status",
        ],
    ),
    (
        "tests/it/gateway/statuses.rs",
        "what_is_too_large_or_of_the_wrong_kind_is_refused",
        &["ingress", "ingress.body_bytes_max"],
    ),
    (
        "tests/it/gateway/statuses.rs",
        "what_is_too_slow_is_answered_408_before_and_after_its_first_byte",
        &["ingress.header_timeout", "ingress.request_timeout"],
    ),
    ("tests/it/gateway/statuses.rs", "who_may_not_send_there_is_told_so_by_status_alone", &["sources.*.allow_ips"]),
    (
        "tests/it/outbound/settings.rs",
        "without_outbound_nothing_is_emitted_and_nobody_is_registered",
        &["outbound", "outbound.enabled"],
    ),
    (
        "tests/it/outbound/settings.rs",
        "secrets_open_with_the_key_that_sealed_them_and_one_after_the_other_while_it_is_rotated",
        &["outbound.secrets_key"],
    ),
    (
        "tests/it/outbound/settings.rs",
        "the_platforms_names_are_the_configurations_also_after_a_reload",
        &["outbound.event_types", "outbound.header_prefix", "outbound.user_agent"],
    ),
    (
        "tests/it/outbound/settings.rs",
        "private_addresses_are_refused_unless_they_are_allowed",
        &["outbound.allow_private"],
    ),
    ("tests/it/outbound/settings.rs", "an_attempt_ends_with_the_timeout", &["outbound.timeout"]),
    (
        "tests/it/outbound/settings.rs",
        "attempts_of_one_webhook_and_of_all_are_bounded",
        &["outbound.attempts_max", "outbound.concurrency"],
    ),
    (
        "tests/it/outbound/settings.rs",
        "attempts_of_one_webhook_are_paced",
        &[
            "outbound.rate_limit",
            "outbound.rate_limit.burst",
            "outbound.rate_limit.per",
            "outbound.rate_limit.requests",
        ],
    ),
    (
        "tests/it/outbound/settings.rs",
        "queue_webhooks_and_events_are_bounded",
        &["outbound.body_bytes_max", "outbound.queue_max", "outbound.webhooks_max"],
    ),
    (
        "tests/it/outbound/health.rs",
        "a_webhook_that_fails_for_disable_after_is_disabled_also_across_a_restart",
        &["outbound.disable_after"],
    ),
    (
        "tests/it/outbound/health.rs",
        "who_is_named_in_notices_to_is_told_that_a_webhook_was_disabled",
        &["outbound.notices_to"],
    ),
    ("tests/it/outbound/health.rs", "both_secrets_sign_until_the_grace_is_over", &["outbound.rotation_grace"]),
    ("tests/it/settings/admin.rs", "a_token_of_a_project_sees_nothing_else", &["admin.tokens[].project"]),
    (
        "tests/it/proxy/bytes.rs",
        "request_and_answer_go_through_unchanged_but_for_what_belongs_to_one_hop",
        &["sources.*.app", "sources.*.app.url"],
    ),
    ("tests/it/proxy/http2/servers.rs", "over_tls_both_sides_agree_on_the_version", &["sources.*.app.http"]),
    (
        "tests/it/proxy/large.rs",
        "bodies_beyond_body_spool_max_are_refused_and_a_file_is_gone_with_its_request",
        &["ingress.body_spool_max"],
    ),
    (
        "tests/it/settings/reported.rs",
        "guards_that_only_report_let_everything_through_marked_counted_and_noted",
        &["sources.*.enforce"],
    ),
    (
        "tests/it/proxy/kept.rs",
        "events_are_kept_while_the_app_cannot_be_reached_and_delivered_to_it_afterwards",
        &["sources.*.if_app_fails"],
    ),
    (
        "tests/it/settings/admin.rs",
        "a_token_may_do_what_its_role_says",
        &["admin", "admin.tokens", "admin.tokens[].role", "admin.tokens[].token"],
    ),
    (
        "tests/it/settings/destination.rs",
        "a_final_status_ends_it_and_the_others_are_tried_by_the_schedule",
        &["destinations.*.retry", "destinations.*.retry.final"],
    ),
    ("tests/it/settings/destination.rs", "an_attempt_ends_at_its_timeout", &["destinations.*.timeout"]),
    (
        "tests/it/settings/destination.rs",
        "as_much_of_an_answer_is_kept_as_the_bound_says",
        &["destinations.*.response_bytes_max"],
    ),
    (
        "tests/it/settings/destination.rs",
        "attempts_begin_no_faster_than_the_rate",
        &[
            "destinations.*.rate_limit",
            "destinations.*.rate_limit.burst",
            "destinations.*.rate_limit.per",
            "destinations.*.rate_limit.requests",
        ],
    ),
    (
        "tests/it/settings/destination.rs",
        "authorization_is_the_destinations_own",
        &[
            "destinations.*.auth",
            "destinations.*.auth.bearer",
            "destinations.*.auth.password",
            "destinations.*.auth.username",
        ],
    ),
    (
        "tests/it/settings/destination.rs",
        "headers_are_added_replaced_and_removed",
        &["destinations.*.headers", "destinations.*.headers.add", "destinations.*.headers.remove"],
    ),
    ("tests/it/settings/destination.rs", "jitter_stretches_and_shortens_the_waits", &["destinations.*.retry.jitter"]),
    (
        "tests/it/settings/destination.rs",
        "no_more_attempts_are_under_way_than_concurrency_says",
        &["destinations.*.concurrency"],
    ),
    (
        "tests/it/redis/sharing.rs",
        "a_shared_limit_is_the_limit_of_all_together_and_no_gateway_starves",
        &["destinations.*.concurrency_shared"],
    ),
    (
        "tests/it/flow/order.rs",
        "what_comes_behind_a_failing_delivery_waits_and_a_crash_keeps_the_order",
        &["destinations.*.order", "destinations.*.order.by"],
    ),
    ("tests/it/settings/destination.rs", "what_is_discarded_succeeds_without_a_request", &["destinations.*.discard"]),
    ("tests/it/settings/ingress.rs", "a_request_under_way_is_cut_after_drain_timeout", &["ingress.drain_timeout"]),
    (
        "tests/it/settings/ingress.rs",
        "connections_and_headers_are_bounded_as_configured",
        &["ingress.connections_max", "ingress.headers_bytes_max"],
    ),
    ("tests/it/settings/proxied.rs", "haproxy_says_whose_connection_it_passes_on", &["ingress.proxy_protocol"]),
    ("tests/it/settings/route.rs", "a_delayed_delivery_goes_out_after_its_delay", &["routes[].delay"]),
    ("tests/it/settings/route.rs", "what_is_not_delivered_in_its_time_expires", &["routes[].expires"]),
    ("tests/it/settings/source.rs", "a_copy_beyond_the_window_is_an_event_of_its_own", &["sources.*.dedup.window"]),
    (
        "tests/it/settings/source.rs",
        "a_queue_that_enforces_refuses_what_is_not_signed_and_keeps_what_is",
        &["sources.*.mode"],
    ),
    (
        "tests/it/settings/source.rs",
        "a_rate_by_header_counts_each_value_with_its_burst",
        &["sources.*.rate_limit[].burst", "sources.*.rate_limit[].by"],
    ),
    (
        "tests/it/settings/source.rs",
        "a_rate_fills_up_again_in_its_time",
        &["sources.*.rate_limit[].per", "sources.*.rate_limit[].requests"],
    ),
    ("tests/it/settings/source.rs", "a_source_has_its_own_bound_of_the_body", &["sources.*.body_bytes_max"]),
    ("tests/it/settings/source.rs", "copies_are_told_by_what_dedup_says", &["sources.*.dedup", "sources.*.dedup.by"]),
    ("tests/it/settings/source.rs", "only_the_content_types_of_a_source_are_taken", &["sources.*.content_types"]),
    ("tests/it/settings/source.rs", "only_the_methods_of_a_source_are_taken", &["sources.*.methods"]),
    (
        "tests/it/redis/settings.rs",
        "the_url_names_user_password_and_database_and_nobody_shows_the_password",
        &["store.url"],
    ),
    (
        "tests/it/redis/sentinel.rs",
        "a_failover_loses_nothing_where_a_replica_must_have_it",
        &["store.replicas_min", "store.sentinels"],
    ),
    ("tests/it/redis/open.rs", "without_the_store_a_source_that_fails_open_goes_on_and_says_so", &["sources.*.fail"]),
    ("tests/it/redis/cluster.rs", "a_cluster_is_found_by_any_of_its_nodes", &["store.cluster", "store.nodes"]),
    ("tests/it/redis/settings.rs", "stores_with_other_prefixes_do_not_see_each_other", &["store.key_prefix"]),
    ("tests/it/redis/settings.rs", "shards_spread_the_keys_and_stay_what_they_were", &["store.shards"]),
    (
        "tests/it/redis/settings.rs",
        "a_server_that_does_not_tell_its_settings_is_believed_when_told_so",
        &["store.assume_durable"],
    ),
    (
        "tests/it/redis/settings.rs",
        "tls_with_its_own_ca_and_a_clients_certificate",
        &["store.tls", "store.tls.ca", "store.tls.cert", "store.tls.key"],
    ),
    ("tests/it/settings/store.rs", "rejections_go_when_their_time_is_over", &["store.retention.rejections"]),
    (
        "tests/it/settings/store.rs",
        "relaxed_durability_is_labelled_wherever_somebody_looks",
        &["store.durability", "store.engine"],
    ),
    ("tests/it/settings/store.rs", "the_ledger_of_rejections_stays_within_its_bound", &["store.rejections_bytes_max"]),
    ("tests/it/settings/store.rs", "the_store_is_where_its_path_says", &["store", "store.path"]),
    (
        "tests/it/settings/tls.rs",
        "a_certificate_is_shown_and_both_versions_and_both_protocols_are_spoken",
        &["ingress.tls", "ingress.tls.cert", "ingress.tls.key"],
    ),
    (
        "tests/it/settings/tls.rs",
        "several_certificates_are_chosen_by_the_name_that_the_client_asks_for",
        &["ingress.tls.certificates", "ingress.tls.certificates[].cert", "ingress.tls.certificates[].key"],
    ),
    (
        "tests/it/settings/tls.rs",
        "with_client_ca_only_clients_with_a_certificate_are_served",
        &["ingress.tls.client_ca"],
    ),
    ("tests/it/settings/verify.rs", "a_tolerance_bounds_the_age_of_what_is_signed", &["sources.*.verify.tolerance"]),
    (
        "tests/it/settings/verify.rs",
        "handshakes_are_answered_and_nothing_of_them_is_kept",
        &["sources.*.verify.handshake", "sources.*.verify.verify_token"],
    ),
    ("tests/it/settings/verify.rs", "any_of_several_secrets_counts", &["sources.*.verify.secrets"]),
    ("tests/it/settings/verify.rs", "basic_compares_user_and_password", &["sources.*.verify.scheme"]),
    (
        "tests/it/settings/verify.rs",
        "every_setting_of_hmac_counts",
        &[
            "sources.*.verify",
            "sources.*.verify.algorithm",
            "sources.*.verify.encoding",
            "sources.*.verify.header",
            "sources.*.verify.id",
            "sources.*.verify.key_encoding",
            "sources.*.verify.prefix",
            "sources.*.verify.public_url",
            "sources.*.verify.signed",
            "sources.*.verify.timestamp_header",
            "sources.*.verify.type",
        ],
    ),
];

#[test]
fn every_key_has_a_test_of_its_effect() {
    let shown: Vec<&str> = SHOWN.iter().flat_map(|(.., keys)| keys.iter().copied()).collect();
    let keys = super::examples::all_keys();
    let missing: Vec<_> = keys.iter().filter(|key| !shown.contains(&key.as_str())).collect();
    assert!(missing.is_empty(), "no test of their effect: {missing:#?}");
    let gone: Vec<_> = shown.iter().filter(|key| keys.iter().all(|known| known != *key)).collect();
    assert!(gone.is_empty(), "not keys any more: {gone:#?}");
    for (file, test, _) in SHOWN {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(file);
        let text = std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{file}: {error}"));
        assert!(text.contains(&format!("fn {test}(")), "{file} has no test {test}");
    }
}
