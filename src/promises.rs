//! What a node promises, and what it deliberately does not.
//!
//! The bar is that of a service that strangers can reach: whatever one peer, one codec, a lack of
//! descriptors or a careless caller does, the node serves the others, tells what happened, and leaves
//! nothing behind. Under each promise stands the code that keeps it, and tests that fail without it
//! (`tests/promises.rs` sees to it that these names are true). Beyond those, `tests/chaos.rs` runs
//! all of it at once, at random and with exact books; `tests/two_hosts.rs` pulls cables; and
//! `tests/black_box.rs` attacks the example `echo` from outside.
//!
//! # What a user can build on
//!
//! 1. **Order.** The messages of a peer are yielded as they were decoded, and written as they were sent.
//!    Its [`Connected`](crate::Event::Connected) is its first event and its
//!    [`Disconnected`](crate::Event::Disconnected) the last, once each; or neither, see 23.
//!    - code: `src/inbound/hub.rs`, `src/outbound/queue.rs`
//!    - test: `messages_keep_their_order_both_ways_at_once_and_are_counted_exactly`,
//!      `connected_comes_first_and_disconnected_last_with_all_messages_between_them`,
//!      `messages_through_one_handle_keep_their_order_whatever_the_peers_between_them`
//! 2. **Backpressure is a matter between the program and one peer.** A connection whose messages aren't
//!    taken stops reading its own socket and no other.
//!    - code: `src/inbound/hub/ends.rs`, `src/connection/reading.rs`
//!    - test: `a_peer_whose_messages_are_not_taken_is_stopped_and_no_other`,
//!      `a_peer_that_does_not_read_holds_up_no_sink_but_its_own`
//! 3. **Every queue is bounded**, in messages and in bytes, and all of a node together if it is given
//!    a [budget](crate::Builder::memory_budget), which is shared fairly. What an ended connection has
//!    left unread counts in all of it.
//!    - code: `src/config.rs`, `src/budget.rs`, `src/outbound/queue.rs`, `src/inbound/hub.rs`,
//!      `src/inbound/inbox.rs`
//!    - test: `no_more_bytes_are_decoded_ahead_than_the_bound_and_a_batch`,
//!      `a_queue_takes_no_more_messages_than_its_bound`,
//!      `a_queue_takes_no_more_bytes_than_its_bound`,
//!      `a_queue_takes_as_many_bytes_as_the_weigher_says`,
//!      `a_single_hog_gets_half_and_leaves_room_for_others`,
//!      `inbound_queues_share_the_same_budget`,
//!      `who_sends_and_leaves_again_and_again_finds_the_house_full_until_the_messages_are_taken`
//! 4. **Peers take turns.** Who floods gets one bounded batch per turn; a quiet peer is heard after at most
//!    one batch of each other. A connection among others that always has more to do lets the runtime look
//!    what has come for them, and of any number of such connections only a few have their turn before
//!    whatever else there is to run.
//!    - code: `src/inbound/hub.rs`, `src/connection.rs`, `src/turns.rs`
//!    - test: `a_quiet_peer_waits_for_one_batch_of_each_other_peer_at_most`,
//!      `peers_that_always_have_something_get_one_turn_each_per_round`,
//!      `in_company_a_poll_takes_in_a_bounded_number_of_bytes`,
//!      `in_company_the_runtime_sees_what_else_has_come_between_two_polls`,
//!      `beside_any_number_of_flooded_connections_one_waits_for_a_few_turns`
//! 5. **Flushed means written**: handed to the operating system, or the peer is gone. Without a flush
//!    a queue that runs empty is written out.
//!    - code: `src/connection/writing.rs`, `src/outbound/queue/task.rs`
//!    - test: `a_flush_resolves_when_the_messages_are_written_and_not_before`,
//!      `a_message_goes_out_without_a_flush`,
//!      `what_is_encoded_and_not_written_is_not_flushed_by_what_is_dropped_behind_it`
//! 6. **No message is lost in silence.** Each that was accepted is written, or counted and reported: as
//!    [`undelivered`](crate::Disconnect::undelivered) when its connection ends, as
//!    [`Undelivered`](crate::Event::Undelivered) when its peer was gone, as
//!    [`Dropped`](crate::Event::Dropped) when its queue was full and the
//!    [policy](crate::WhenFull) says so.
//!    - code: `src/outbound.rs`, `src/outbound/queue/senders.rs`, `src/node/session.rs`
//!    - test: `a_forward_survives_a_peer_that_goes_and_what_it_missed_is_told`,
//!      `drop_oldest_keeps_what_came_last_and_what_is_being_written`,
//!      `what_is_dropped_in_front_of_a_closing_queue_is_in_the_books`,
//!      `what_is_dropped_is_reported_of_every_one_of_many_peers_before_it_is_disconnected`,
//!      `whatever_is_done_to_many_nodes_on_several_threads_the_books_are_exact`
//! 7. **Nothing is left behind.** The node owns its tasks and nothing owns the node: when the last
//!    handle and the stream are dropped, listeners, connections, timers and memory go by themselves.
//!    - code: `src/node.rs`, `src/shutdown.rs`, `src/node/session.rs`
//!    - test: `dropping_everything_ends_tasks_and_closes_sockets`,
//!      `messages_are_dropped_wherever_they_are`,
//!      `a_runtime_that_ends_first_takes_the_node_with_it`
//! 8. **Futures can be dropped** at each of their awaits; each method says what is the case then.
//!    - code: `src/outbound/waiting.rs`, `src/node/wiring.rs`, `src/registry.rs`
//!    - test: `a_dropped_connect_rolls_back`,
//!      `a_dropped_send_to_has_queued_its_message_or_not_taken_it`,
//!      `a_dropped_shutdown_goes_on`, `a_dropped_recv_has_taken_nothing`,
//!      `futures_of_the_nodes_sink_can_be_dropped`
//! 9. **What resolves has happened.** After `connect`, `disconnect` and `shutdown` there is nothing to
//!    wait for.
//!    - code: `src/node.rs`, `src/node/wiring.rs`
//!    - test: `connect_resolves_when_the_peer_is_there`,
//!      `disconnect_resolves_when_the_peer_is_gone_on_both_sides`,
//!      `shutdown_resolves_when_nothing_is_left`
//! 10. **No byte is lost between handshake and session.**
//!     - code: `src/connection.rs`
//!     - test: `wherever_the_bytes_are_split_a_codec_switch_loses_none`
//! 11. **Reasons are exact**: each way to end is told from the others, with who ended it.
//!     - code: `src/disconnect.rs`, `src/connection/reading.rs`
//!     - test: `a_reset_is_a_reset_inside_a_frame_too`, `an_error_at_one_end_is_an_end_at_the_other`,
//!       `a_reset_that_a_write_meets_first_is_no_end_of_the_stream`,
//!       `what_the_kernel_gives_up_to_send_again_is_in_the_reason`
//!
//! # What attackers find
//!
//! 12. **One peer never hurts another.** A dead, slow or hostile one uses up its own share.
//!     - code: `src/connection.rs`, `src/inbound/hub.rs`, `src/outbound/queue.rs`
//!     - test: `silent_remotes_do_not_hold_up_those_who_speak`,
//!       `a_reader_that_never_reads_is_cut_off_at_the_write_timeout`,
//!       `many_that_only_send_fill_the_memory_budget_and_no_more`,
//!       `unread_messages_take_the_room_of_their_own_address`
//! 13. **Floods meet limits**: in all, per address, per subnet, pending and established, over time. A part
//!     of the room stays for the program's own dialling. Who is refused costs an accept and a close. Who
//!     sends and leaves holds its room until the program has taken what it sent, so coming again gains
//!     nothing.
//!     - code: `src/admission.rs`, `src/admission/occupancy.rs`, `src/admission/rate.rs`,
//!       `src/node/session.rs`
//!     - test: `each_limit_refuses_who_is_beyond_it_with_an_event_a_counter_and_a_text`,
//!       `a_flood_of_incoming_connections_does_not_stop_our_dialling`,
//!       `the_accept_rate_allows_a_burst_and_then_one_at_a_time`,
//!       `a_flood_from_one_address_fills_only_its_own_share`,
//!       `a_flood_from_many_addresses_fills_the_house_and_no_more`,
//!       `who_sends_and_leaves_again_and_again_finds_the_house_full_until_the_messages_are_taken`,
//!       `what_the_library_ends_keeps_its_room_while_its_messages_wait`
//! 14. **Room is given back on every path**: error, timeout, panic, abort, drop.
//!     - code: `src/admission.rs` (a permit lives in what it limits), `src/inbound/inbox.rs`
//!     - test: `a_session_leaves_its_room_however_it_ends`,
//!       `there_is_room_when_the_end_is_told_although_messages_kept_it`,
//!       `what_the_program_ends_itself_leaves_its_room_with_messages_unread`,
//!       `a_reader_that_goes_gives_all_room_back`,
//!       `a_handshake_that_comes_to_nothing_leaves_its_room`,
//!       `dialling_that_is_dropped_leaves_its_room_wherever_it_was`
//! 15. **A frame has a largest size and a longest time, whatever the codec**, and it makes no difference
//!     how its bytes come.
//!     - code: `src/connection/reading.rs`, `src/meter.rs`, `src/deadlines.rs`
//!     - test: `a_line_without_end_is_cut_off_and_the_others_are_served`,
//!       `what_a_codec_consumes_in_silence_counts_however_it_comes`,
//!       `a_slow_drip_runs_into_the_frame_timeout_although_it_is_never_idle`,
//!       `a_large_frame_at_the_least_rate_takes_its_time`
//! 16. **Each wait for a remote has a deadline** where one was set, and a deadline stands still while it is
//!     *we* who don't read. One timer serves a connection.
//!     - code: `src/deadlines.rs`, `src/connection.rs`
//!     - test: `a_remote_that_takes_nothing_is_given_up_at_the_write_timeout`,
//!       `the_time_in_which_we_do_not_read_is_not_the_remotes`,
//!       `a_disconnect_waits_for_the_remote_no_longer_than_the_drain_timeout`,
//!       `a_pulled_cable_is_told_by_the_timeouts`
//! 17. **A remote that is given up while there is something left for it leaves nothing behind**, in the
//!     operating system either: what that still holds is thrown away with a reset. One that was sent
//!     everything is closed as any, and may go on reading.
//!     - code: `src/disconnect.rs`, `src/transport.rs`
//!     - test: `a_remote_that_takes_nothing_is_reset`,
//!       `a_remote_that_does_not_let_the_connection_be_closed_is_reset`,
//!       `a_remote_that_reads_slowly_loses_nothing_of_what_was_written`,
//!       `a_reader_that_never_reads_is_cut_off_at_the_write_timeout`
//! 18. **Bad input has a reason, an event, a counter and a log line**, and no more than one line per
//!     second and kind at `debug`. What a remote sent is escaped in it.
//!     - code: `src/throttle.rs`, `src/stats.rs`, `src/node/session.rs`
//!     - test: `a_flood_that_is_refused_is_a_line_per_second_and_kind`,
//!       `connections_that_end_with_an_error_are_a_line_per_second_and_kind`,
//!       `the_words_of_a_remote_are_escaped_when_its_connection_ends`
//! 19. **Without descriptors the node goes on**: those who are there are served, those who come wait
//!     in the kernel's backlog.
//!     - code: `src/listener.rs`
//!     - test: `without_descriptors_accepting_pauses_complains_now_and_then_and_recovers`,
//!       `running_out_of_descriptors_does_not_keep_a_processor_busy`
//!
//! # What faults in the program itself cost
//!
//! 20. **A codec's first error ends its connection** with that error as the reason; what was queued by
//!     then is still written. An encoder that fails leaves no half of a message on the wire.
//!     - code: `src/connection/reading.rs`, `src/connection/writing.rs`
//!     - test: `the_first_decode_error_is_the_last_thing_that_is_decoded`,
//!       `an_encoder_that_fails_half_way_leaves_nothing_and_takes_nothing_with_it`
//! 21. **A panic ends what it happened in.** In a codec, a handshake or a stream, that is one connection;
//!     in a filter, one refusal; in an acceptor, the listening at one address, which
//!     [`local_addrs`](crate::Node::local_addrs) then doesn't name any more. What runs in a call of the
//!     program's (a weigher, a message's `clone`) panics there.
//!     - code: `src/node/session.rs`, `src/node/wiring.rs`, `src/node/reception.rs`
//!     - test: `a_codec_that_panics_twice_is_told_as_the_first`,
//!       `a_factory_that_panics_costs_its_own_connection_alone`,
//!       `the_filter_says_who_comes_in_and_its_panic_is_a_refusal`,
//!       `an_acceptor_that_panics_listens_no_longer_and_the_node_says_so`,
//!       `a_panic_of_the_weigher_is_the_callers_and_nobody_elses`,
//!       `a_message_that_panics_when_it_is_cloned_panics_in_its_broadcast_alone`
//! 22. **What never gets done is given up**: a dial, a handshake, a write, a closing. Each has its timeout.
//!     - code: `src/dialer.rs`, `src/node/wiring.rs`, `src/deadlines.rs`
//!     - test: `a_black_hole_times_out`, `a_stream_that_is_never_shut_is_left_at_the_drain_timeout`,
//!       `a_stream_that_is_never_flushed_keeps_no_shutdown_beyond_the_drain_timeout`
//! 23. **A program that hoards or forgets is bounded, too.** Connections that it doesn't decide on are as
//!     many as may be pending; messages that it doesn't take stop their sender, and take its room when it
//!     has left; events that it doesn't read are the newest 1,024, every open connection's own, and the
//!     whole stories of the newest 1,024 at least that came and went without a message.
//!     - code: `src/incoming.rs`, `src/inbound/hub.rs`, `src/inbound/inbox.rs`
//!     - test: `those_that_are_hoarded_are_as_many_as_may_be_pending`,
//!       `those_that_are_not_taken_wait_in_a_queue_and_then_in_the_backlog`,
//!       `a_flood_of_refused_connections_does_not_hold_up_the_messages`,
//!       `of_those_who_come_and_go_without_a_word_the_newest_are_told_each_as_a_whole`,
//!       `what_was_begun_to_be_told_and_what_has_messages_is_told_to_its_end`,
//!       `a_shutdown_waits_for_no_reader_and_takes_nothing_from_it`
//!
//! # What is not promised
//!
//! - **Plain TCP is neither encrypted nor authenticated.** Whoever is on the way reads and changes
//!   what is sent, and an address proves nothing. Begin with a handshake where that matters: Noise and
//!   TLS are in the crate `wattle-codecs`, and end in a codec as any other.
//! - **Written is not delivered.** What was handed to the operating system may never reach the remote
//!   program, and nobody tells us. A protocol that must know has acknowledgements of its own.
//! - **No limit knows who is behind an address.** Many hosts share one behind a router, and one host with
//!   many addresses looks like many.
//! - **Out of the box, strangers are trusted more than they deserve**: limits per address, the idle
//!   and the frame timeout are off, because tests and friends need them to be. The README has the options
//!   for a node that strangers can reach.
//! - **A codec, a filter or a weigher that doesn't return** keeps its thread, and its connection or its
//!   caller with it: nothing can interrupt it. So does one that allocates without bound inside a single
//!   call; the cap of frames bounds what it is *given*.
//! - **A panic that aborts** (`panic = "abort"`, a panic while panicking, a stack overflow) takes the
//!   process with it. The guards of `wattle-codecs` against deep nesting are there for that reason.
//! - **Memory** beyond the queues: buffers that connections read into and write from (given back when they
//!   are idle), what a codec keeps, what the kernel keeps for sockets, and the messages that the
//!   program holds on to.
//! - **A program that neither reads its stream nor drops it** is protected from strangers, and not from
//!   itself: messages of connections that it dialled, ended itself or let in as exempt wait for it whatever
//!   the limits, if they have ended. The [budget](crate::Builder::memory_budget) makes each of them
//!   small, not their number. Who isn't interested drops the [`Inbound`](crate::Inbound).
//! - **A share in time is not a time.** A quiet peer waits for at most one batch of each other that is ready;
//!   with hundreds that flood at once and large inbound queues that is a while.
//!   [`max_inbound_bytes`](crate::Builder::max_inbound_bytes) makes the turns smaller.
//! - **A remote that takes a byte now and then** is not stalled: there is a least rate for what it sends,
//!   and none for what it takes. It holds one place and its own queue.
//! - **Streams that a handshake has wrapped**, as TLS does, are closed and not reset when they are given up.
//! - **A ban doesn't end connections** that are there, and doesn't keep the program from dialling.
//! - **Churn of well-behaved connections is logged**: at `debug` each has its line when it comes and when it
//!   goes, however many they are. Set an accept rate, or the level `info`.
