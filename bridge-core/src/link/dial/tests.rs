use super::*;

fn at(mono_ms: u64) -> Now {
    Now { mono_ms, wall_ms: 0 }
}

const SILENCE: End = End::Unanswered { orderly: true };
const NO_CONNECTION: End = End::Unanswered { orderly: false };

fn lost(since_ms: u64, thrown_out: bool) -> End {
    End::Lost { since: at(since_ms), thrown_out }
}

#[test]
fn waits_double_from_100_ms_to_30_s_and_are_spread() {
    let mut shortest = [u64::MAX; 12];
    let mut longest = [0; 12];
    for seed in 0..200 {
        let mut dial = Dial::new(VersionChoice::V5OrOlder, 1, seed);
        for failure in 0..12 {
            let wait = dial.ended(at(0), NO_CONNECTION).until.0;
            shortest[failure] = shortest[failure].min(wait);
            longest[failure] = longest[failure].max(wait);
        }
    }
    for (failure, ceiling) in
        [200, 400, 800, 1600, 3200, 6400, 12_800, 25_600, 30_000, 30_000, 30_000, 30_000].into_iter().enumerate()
    {
        assert!(shortest[failure] >= ceiling / 2 && longest[failure] <= ceiling, "failure {failure}");
        assert!(longest[failure] - shortest[failure] > ceiling / 4, "failure {failure} is not spread");
    }
}

#[test]
fn each_failure_moves_to_the_next_broker() {
    let mut dial = Dial::new(VersionChoice::V5OrOlder, 3, 1);
    let mut tried = vec![dial.target()];
    for end in [NO_CONNECTION, End::Refused { version: false }, lost(0, false), NO_CONNECTION] {
        dial.ended(at(100), end);
        tried.push(dial.target());
    }
    assert_eq!(tried, [0, 1, 2, 0, 1]);
}

#[test]
fn five_seconds_online_forgive_all_failures_and_keep_the_broker() {
    let mut dial = Dial::new(VersionChoice::V5OrOlder, 2, 1);
    for _ in 0..8 {
        dial.ended(at(0), NO_CONNECTION);
    }
    assert!(dial.ended(at(5_000), lost(1, false)).until.0 > 15_000, "4,999 ms are not enough");
    let target = dial.target();
    assert!(dial.ended(at(5_000), lost(0, false)).until.0 <= 5_200);
    assert_eq!(dial.target(), target);
}

#[test]
fn a_broker_that_names_the_version_is_asked_in_3_1_1_next() {
    let mut dial = Dial::new(VersionChoice::V5OrOlder, 2, 1);
    dial.ended(at(0), End::Refused { version: true });
    assert_eq!((dial.target(), dial.version()), (0, Version::V311));
    for _ in 0..6 {
        dial.ended(at(0), SILENCE);
    }
    dial.target = 0;
    assert_eq!(dial.version(), Version::V311, "what it said itself is not taken back");
}

#[test]
fn two_silent_closes_in_a_row_are_taken_for_a_broker_without_mqtt_5() {
    let mut dial = Dial::new(VersionChoice::V5OrOlder, 1, 1);
    let mut spoken = Vec::new();
    for end in [SILENCE, NO_CONNECTION, SILENCE, SILENCE, SILENCE, SILENCE] {
        dial.ended(at(0), end);
        spoken.push(dial.version());
    }
    let (five, three) = (Version::V5, Version::V311);
    assert_eq!(spoken, [five, five, five, three, three, five], "and a guess that did not help is taken back");
}

#[test]
fn three_quick_closes_in_a_row_are_another_process_with_our_id() {
    let mut dial = Dial::new(VersionChoice::V5OrOlder, 2, 1);
    let conflicts = |dial: &mut Dial, ends: &[(u64, End)]| -> Vec<bool> {
        ends.iter().map(|(now, end)| dial.ended(at(*now), *end).conflict).collect()
    };
    let quick = (4_999, lost(0, true));
    assert_eq!(conflicts(&mut dial, &[quick, quick, quick, quick]), [false, false, true, true]);
    assert_eq!(dial.ended(at(4_999), lost(0, true)), Wait { until: Deadline(34_999), conflict: true });
    let slow = (5_000, lost(0, true));
    assert_eq!(conflicts(&mut dial, &[slow, quick, quick, slow, quick, quick]), [false; 6], "5 s are not quick");
    let broken = (10, lost(0, false));
    assert_eq!(conflicts(&mut dial, &[broken, quick, quick, broken, quick, quick]), [false; 6], "not in a row");
}

#[test]
fn a_session_is_at_home_with_one_broker_and_protocol() {
    let mut dial = Dial::new(VersionChoice::V5OrOlder, 2, 1);
    assert!(!dial.is_home());
    dial.accepted();
    assert!(dial.is_home());
    dial.ended(at(10), lost(0, false));
    assert!(!dial.is_home(), "the other broker");
    dial.ended(at(20), NO_CONNECTION);
    assert!(dial.is_home(), "back again");
}
