//! What every store promises, one test a claim.
//!
//! The claims know the trait [`Store`] and a [`Home`] that opens it, nothing else: another
//! implementation joins with one more line at `conformance!`. What only a file can do wrong is tested
//! beside the code.

#![cfg(test)]

mod answers;
mod batches;
mod fleet;
mod jobs;
mod keys;
mod lines;
mod model;
mod results;
mod rows;
mod starts;

use std::path::Path;

use egret_store::{SqliteStore, Store};

/// A place where a store keeps its rows; a store dropped and opened again finds them.
pub(crate) trait Home {
    /// An empty place.
    fn new() -> Self
    where
        Self: Sized;
    /// Opens it; the one opened before has been dropped.
    fn open(&self) -> Box<dyn Store>;
}

/// A folder with an SQLite file.
struct Folder(tempfile::TempDir);

impl Home for Folder {
    fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    fn open(&self) -> Box<dyn Store> {
        let folder: &Path = self.0.path();
        Box::new(SqliteStore::open(folder).unwrap())
    }
}

/// The same without threads. Dropping it is a crash: it keeps what was committed, and no more.
struct Inline(tempfile::TempDir);

impl Home for Inline {
    fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    fn open(&self) -> Box<dyn Store> {
        let pause = || std::time::Duration::from_millis(1);
        Box::new(SqliteStore::open_inline(self.0.path(), pause).unwrap())
    }
}

macro_rules! claims {
    ($home:ty, $($topic:ident: $($claim:ident)+;)+) => {
        $(mod $topic {
            $(#[tokio::test]
            async fn $claim() {
                use crate::Home as _;
                let home = <$home>::new();
                crate::$topic::$claim(&home).await;
            })+
        })+
    };
}

macro_rules! conformance {
    ($home:ty) => {
        claims! { $home,
            jobs:
                a_commit_outlives_the_process
                a_job_reads_back_as_it_was_appended
                ended_jobs_are_not_open
                jobs_of_a_batch_are_open_only_once_it_is_closed
                a_second_job_of_one_id_fails_alone
                a_failed_write_keeps_none_of_its_rows
                no_filter_lists_all_jobs_newest_first
                a_filter_by_state_tells_open_ended_and_discarded_apart
                a_filter_by_label_matches_any_key_and_ignores_what_is_no_json
                a_filter_by_owner_lists_what_came_with_that_key
                filters_combine;
            lines:
                a_line_goes_by_deadline_then_by_job
                jobs_that_differ_in_any_part_wait_in_lines_of_their_own
                a_job_leaves_its_line_with_its_outcome
                a_job_that_goes_on_waits_in_another_line_alone
                a_place_tells_how_many_wait_before_it
                nothing_of_a_batch_waits_before_it_is_closed
                nothing_of_a_cancelled_batch_waits_however_late_it_comes
                a_class_that_does_not_exist_fails_the_write
                a_flow_of_a_failed_write_is_not_half_known;
            results:
                the_first_outcome_of_a_job_stands
                results_come_in_the_order_of_ending
                results_read_on_from_a_place
                places_go_on_rising_after_a_restart
                an_outcome_waits_for_no_batch_end;
            batches:
                a_batch_counts_its_jobs_by_how_they_ended
                the_first_end_of_a_batch_stands
                a_cancelled_batch_discards_what_has_not_ended
                a_second_outcome_is_not_counted
                a_job_asked_again_waits_as_if_it_had_never_ended
                the_place_of_an_end_taken_back_is_never_given_again
                batches_come_newest_first
                batches_of_an_owner_are_listed_alone
                refused_lines_come_in_line_order;
            fleet:
                an_agent_joins_with_a_token_and_gets_its_tags
                a_wrong_secret_is_as_unknown_as_a_wrong_token
                a_token_expires_at_its_instant
                a_token_is_never_used_more_often_than_allowed
                a_token_taken_back_lets_nobody_in_and_nobody_out
        a_revoked_agent_is_gone_and_its_use_stays_spent
        numbers_of_sessions_only_grow
        an_agent_of_a_known_id_costs_no_use
                the_last_checkpoint_of_a_ledger_counts
                the_last_owner_of_an_egress_counts;
            keys:
                a_key_is_fresh_once
                an_answer_is_repeated_and_never_replaced
                another_fingerprint_is_a_mismatch
                a_released_key_is_fresh_again
                a_key_is_forgotten_after_a_day
                a_key_stands_for_what_its_request_has_added
                one_of_many_claims_at_once_is_fresh;
            answers:
                an_answer_is_found_by_its_key_after_a_restart
                many_answers_come_in_the_order_of_their_keys_until_there_are_enough
                the_newest_answer_of_a_key_counts
                a_key_that_is_too_long_is_refused_with_all_beside_it
                the_last_word_under_a_key_counts
                an_order_that_is_no_small_word_is_refused;
            starts:
                starts_are_counted_from_one
                a_start_knows_the_largest_id
                a_start_cancels_what_was_still_receiving
                a_start_frees_keys_left_in_flight
                a_store_that_works_checks_out
                writes_are_kept_in_call_order;
        }
    };
}

mod sqlite {
    conformance!(crate::Folder);

    mod when_dropped {
        claims! { crate::Folder, starts: a_dropped_store_still_writes_what_was_queued; }
    }
}

mod inline {
    conformance!(crate::Inline);
}
