//! The rendezvous store and what it says when the set-up is wrong.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod support;

use std::time::Duration;

use evenkeel_torch_ext::{Error, GroupOptions, Member, ProcessGroup, Store};
use support::{HOST, PATIENCE, connect, options, serve};

const SHORT: Duration = Duration::from_millis(300);

#[test]
fn values_are_seen_by_other_clients() {
    let store = serve();
    let client = connect(store.port());
    client.set("key", &[0, 1, 255]).unwrap();
    assert_eq!(store.get("key", PATIENCE).unwrap(), [0, 1, 255]);
    store.set("empty", &[]).unwrap();
    assert!(client.get("empty", PATIENCE).unwrap().is_empty());
    assert_eq!(client.add("count", 2).unwrap(), 2);
    assert_eq!(store.add("count", 3).unwrap(), 5);
    assert!(client.contains("key").unwrap());
    assert!(!client.contains("other").unwrap());
}

#[test]
fn a_prefix_is_a_space_of_its_own() {
    let store = serve();
    let one = store.prefix("one").unwrap();
    let two = store.prefix("two").unwrap();
    one.set("key", b"1").unwrap();
    assert!(!two.contains("key").unwrap());
    assert_eq!(one.get("key", PATIENCE).unwrap(), b"1");
}

#[test]
fn the_first_to_set_an_absent_key_wins() {
    let store = serve();
    assert_eq!(store.set_if_absent("key", b"first").unwrap(), b"first");
    assert_eq!(store.set_if_absent("key", b"second").unwrap(), b"first");
}

#[test]
fn a_key_that_nobody_sets_is_a_timeout() {
    let store = serve();
    let error = store.get("never", SHORT).unwrap_err();
    assert!(matches!(error, Error::Timeout(_)), "{error:?}");
    let error = store.wait("never", SHORT).unwrap_err();
    assert!(matches!(error, Error::Timeout(_)), "{error:?}");
    assert!(!store.contains("never").unwrap(), "the store is still usable");
}

#[test]
fn a_taken_port_is_named() {
    let store = serve();
    let error = Store::serve(HOST, store.port(), PATIENCE).unwrap_err();
    assert!(matches!(error, Error::AddressInUse { port, .. } if port == store.port()), "{error:?}");
    assert!(error.to_string().contains("is in use"), "{error}");
}

#[test]
fn an_address_of_another_machine_cannot_be_served() {
    // Reserved for documentation: no machine has it.
    let error = Store::serve("192.0.2.1", 0, PATIENCE).unwrap_err();
    assert!(matches!(error, Error::Listen { .. }), "{error:?}");
}

#[test]
fn a_port_where_no_store_is_cannot_be_connected_to() {
    let free = std::net::TcpListener::bind((HOST, 0)).unwrap().local_addr().unwrap().port();
    let error = Store::connect(HOST, free, SHORT).unwrap_err();
    assert!(matches!(&error, Error::Connect { port, .. } if *port == free), "{error:?}");
    assert!(error.to_string().contains(&format!("{HOST}:{free}")), "{error}");
}

#[test]
fn a_host_that_does_not_exist_cannot_be_connected_to() {
    let error = Store::connect("no-such-host.invalid", 1, SHORT).unwrap_err();
    assert!(matches!(error, Error::Connect { .. }), "{error:?}");
}

#[test]
fn a_rank_outside_the_world_is_refused() {
    let store = serve();
    let error = group_error(&store, Member { rank: 2, world_size: 2 });
    assert!(matches!(error, Error::InvalidRank { rank: 2, world_size: 2 }), "{error:?}");
}

#[test]
fn a_missing_rank_is_named() {
    let store = serve();
    let error = group_error(&store, Member { rank: 1, world_size: 3 });
    let Error::MissingRanks { missing, .. } = &error else { panic!("{error:?}") };
    assert_eq!(missing, &[0, 2]);
}

#[test]
fn members_must_agree_on_the_world_size() {
    let store = serve();
    // Comes first, and fails because it is alone.
    group_error(&store, Member { rank: 0, world_size: 2 });
    let error = group_error(&store, Member { rank: 1, world_size: 4 });
    assert!(matches!(error, Error::WorldSizeMismatch { ours: 4, theirs: 2, .. }), "{error:?}");
}

#[test]
fn a_rank_that_is_taken_is_refused() {
    let store = serve();
    group_error(&store, Member { rank: 0, world_size: 2 });
    let error = group_error(&store, Member { rank: 0, world_size: 2 });
    assert!(matches!(error, Error::DuplicateRank { rank: 0 }), "{error:?}");
}

fn group_error(store: &Store, member: Member) -> Error {
    let options = GroupOptions { form_timeout: SHORT, ..options() };
    ProcessGroup::gloo(store, "generation-1", member, Some(HOST), options).unwrap_err()
}
