use super::*;

fn outcome(route: RouteIndex, records: u64, rejected: u64) -> Outcome {
    let rejected = (rejected > 0).then(|| (Reason::from("invalid"), rejected));
    Outcome {
        route,
        records,
        acked_bytes: 10 * records,
        rejected: rejected.into_iter().collect(),
        dropped: BTreeMap::new(),
    }
}

fn read(books: &Books, route: RouteIndex, records: u64) {
    books.change(route, |books| {
        books.read_records += records;
        books.in_flight_records += records;
    });
}

#[test]
fn the_books_go_on_after_a_restart_without_what_was_in_flight() {
    let lane: Arc<str> = "loki".into();
    let books = Books::default();
    let route = books.route("nginx", "loki");
    read(&books, route, 100);
    books.settle(&[outcome(route, 40, 3)]);
    books.drop_records(route, 5, "queue_full");
    books.spill(&lane, 3, &[(route, 30)]);
    books.settle_spilled(&lane, 2, &[outcome(route, 10, 1)]);
    let notes = books.notes();
    let next = Books::default();
    next.restore(notes.iter().map(|(name, value)| (&**name, &**value)));
    let [restored] = &next.snapshot()[..] else {
        panic!("one route")
    };
    assert!(restored.balance());
    assert_eq!(restored.read_records, 75);
    assert_eq!(restored.acked_records, 46);
    assert_eq!(restored.rejected_total(), 4);
    assert_eq!(restored.dropped_total(), 5);
    assert_eq!(restored.spilled_records, 20);
    assert_eq!(next.spill_marks(&lane), books.spill_marks(&lane));
}

#[test]
fn frames_that_an_earlier_run_did_not_enter_are_entered_and_settled_once() {
    let lane: Arc<str> = "loki".into();
    let books = Books::default();
    let route = books.route("nginx", "loki");
    books.find_spilled(&lane, 5, &[(route, 10)]);
    // One of them was settled before the kill, and is settled again.
    books.settle_spilled(&lane, 5, &[outcome(route, 12, 0)]);
    let [found] = &books.snapshot()[..] else {
        panic!("one route")
    };
    assert!(found.balance());
    assert_eq!((found.acked_records, found.spilled_records), (12, 0));
}

#[test]
fn what_a_damaged_spill_does_not_hold_any_more_is_counted_as_dropped() {
    let lane: Arc<str> = "loki".into();
    let books = Books::default();
    let route = books.route("nginx", "loki");
    books.find_spilled(&lane, 5, &[(route, 10)]);
    books.settle_spilled(&lane, 4, &[outcome(route, 7, 0)]);
    let left: Vec<_> = books.spill_marks(&lane).records.into_iter().collect();
    books.drop_spilled(&lane, &left, "spill_damaged");
    let [found] = &books.snapshot()[..] else {
        panic!("one route")
    };
    assert!(found.balance());
    assert_eq!((found.dropped_total(), found.spilled_records), (3, 0));
}

#[test]
fn notes_of_another_hand_begin_anew() {
    let books = Books::default();
    let notes: [(&str, &[u8]); 3] = [
        (
            "books/loki/nginx",
            br#"{"source":"nginx","sink":"loki","read_records":5}"#,
        ),
        ("books/loki/other", b"not JSON"),
        ("spill/loki", b"[]"),
    ];
    books.restore(notes.into_iter());
    let [found] = &books.snapshot()[..] else {
        panic!("one route")
    };
    assert!(found.balance());
    assert_eq!(found.read_records, 0);
}
