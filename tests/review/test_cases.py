"""The case page: what is stored, what is counted here, what is traced, and what becomes of a label."""

import hashlib
import re
from typing import Any

import msgspec
import pytest
from sqlalchemy import update

from fraud.core.evidence import SideEvent, tx_hash
from fraud.core.policy import CostPolicy, ThresholdPolicy
from fraud.core.records import DAY, HOUR, MINUTE, SECOND, Action, Reason
from fraud.core.rules.ruleset import compile_rules
from fraud.review.case_views import CaseView
from fraud.review.database import Database
from fraud.review.errors import InvalidError, UnknownError
from fraud.review.stored import unpacked_vector
from fraud.review.tables import label_trace
from fraud.review.why import passes_below
from streaming.messages.envelope import packed_vector
from streaming.messages.schema import of_decision
from tests.review.seeding import (
    NOW,
    POLICY,
    STREAM,
    VOCABULARY,
    Site,
    alerted,
    case_of,
    chargeback,
    decided,
    decision,
    features,
    realistic,
    seen,
    site_of,
    take,
)

CARD = "4000123412340121"


@pytest.fixture
def site(database: Database) -> Site:
    return site_of(database)


def view(site: Site, alert: int, who: str = "anna", now: int = NOW) -> CaseView:
    return site.desk.case(case_of(site, alert), site[who], now, alert)


def raised(site: Site, values: Any = None, number: int = 100, **changes: Any) -> int:
    """Take in one alert with a vector, and return its number."""
    (found,) = take(site, seen(number, decision(number, Action.REVIEW, **changes), values))
    return found


def test_case_shows_the_decision_as_it_was_stored(site: Site) -> None:
    made = decision(100, Action.REVIEW)
    (number,) = take(site, seen(100, made))
    found = view(site, number)
    why = found.why
    assert [(reason.code, reason.text, reason.without) for reason in why.reasons] == [
        ("amount", "447.30 is 8.4 times 53.26", 0.04)
    ]
    assert (why.made.model, why.made.level, why.stored_at) == ("blend@1", "full", NOW)
    assert why.message_sha256 == hashlib.sha256(of_decision(made)).hexdigest()
    assert (found.alert.row.card.name, found.alert.tx_id, found.alert.mcc) == ("4···121", "tx100", 5732)
    assert CARD not in msgspec.json.encode(found).decode()


def test_focus_is_the_dearest_undecided_alert_unless_another_is_asked_for(site: Site) -> None:
    numbers = [alerted(site, number, card="4111", at_stake=stake) for number, stake in ((1, 5), (2, 9), (3, 1))]
    case = case_of(site, numbers[0])
    assert site.desk.case(case, site["anna"], NOW).alert.row.alert == numbers[1]
    assert site.desk.case(case, site["anna"], NOW, numbers[2]).alert.row.alert == numbers[2]
    decided(site, numbers[1], alerts=[numbers[1]])
    found = site.desk.case(case, site["anna"], NOW)
    assert (found.alert.row.alert, [each.open for each in found.alerts]) == (numbers[0], [False, True, True])
    for number, alert in ((case, 999), (999, None)):
        with pytest.raises(UnknownError):
            site.desk.case(number, site["anna"], NOW, alert)


def test_velocity_is_read_from_the_vector_and_what_it_lacks_is_not_made_up(site: Site) -> None:
    values = features(card_count_10m=0, card_count_1h=1, card_sum_1d=139.8, card_merchants_30d=41, card_frauds_7d=8)
    found = view(site, raised(site, values)).velocity
    assert found.windows == ("10m", "1h", "1d", "7d", "30d")
    rows = {(row.entity, row.measure): row.values for row in found.rows}
    assert rows["card", "count"] == (0.0, 1.0, None, None, None)
    assert rows["card", "sum"][2] == pytest.approx(139.8)
    assert rows["card", "distinct"][4] == 41.0
    assert rows["card", "frauds"] == (None, None, None, 8.0, None)
    assert ("merchant", "distinct") in rows


def test_declines_are_counted_here_by_window_and_said_to_be(site: Site) -> None:
    for number, back in enumerate((5 * MINUTE, 30 * MINUTE, 20 * HOUR, 6 * DAY, 40 * DAY), 1):
        take(site, seen(number, decision(number, Action.DECLINE, card=CARD, at=STREAM - back)))
    (row,) = [row for row in view(site, raised(site, at=STREAM)).velocity.rows if row.measure == "declined"]
    assert (row.values, row.ours) == ((1.0, 2.0, 3.0, 4.0, 4.0), True)


def test_vector_of_an_unknown_spec_shows_no_table_and_no_trace(site: Site) -> None:
    (number,) = take(site, seen(100, decision(100, Action.REVIEW)))
    site.shelf.names = lambda version: None  # type: ignore[method-assign]
    found = view(site, number)
    assert (found.velocity.known, found.velocity.rows, found.rules.known) == (False, (), False)
    assert found.shop.payments_today is None


def test_stored_vector_has_the_layout_of_the_header_that_it_came_in() -> None:
    values = features(amount=12.5)
    spec_version, found = unpacked_vector(packed_vector(values, "0a1b2c"))
    assert spec_version == "0a1b2c"
    assert found.tobytes() == values.tobytes()
    assert [len(part) for part in unpacked_vector(b"")] == [0, 0]


@pytest.mark.parametrize("policy", [POLICY, CostPolicy(), ThresholdPolicy(0.0, 0.5, 0.9)])
@pytest.mark.parametrize("amount", [500, 5_000, 100_000])
def test_payment_passes_below_the_policys_own_threshold(policy: CostPolicy | ThresholdPolicy, amount: int) -> None:
    assert passes_below(policy, amount) == pytest.approx(policy.thresholds(amount).challenge, abs=1e-9)
    assert passes_below(None, amount) is None


def test_what_would_change_it_names_reason_or_rule_with_the_action_then(site: Site) -> None:
    reasons = (Reason("amount", "large", 1.4, 0.04), Reason("age", "new", 0.3, 0.35), Reason("rule:night", "at 3"))
    found = view(site, raised(site, reasons=reasons, score=0.5, model_score=0.4)).why
    assert [(change.code, change.took, change.rule) for change in found.changes] == [
        ("amount", "approve", False),
        ("age", "review", False),
        ("rule:night", "review", True),
    ]
    assert [change.score for change in found.changes] == pytest.approx([0.04, 0.35, 0.4])
    assert found.changes[2].label == "night"
    assert found.passes_below == pytest.approx(0.05)


def test_amount_is_compared_with_card_merchant_and_peers(site: Site) -> None:
    values = features(card_amount_vs_median=4.0, merchant_amount_vs_median=0.5)
    approved = [seen(n, decision(n, card="5", base_amount=100 * n, channel="ecom")) for n in range(1, 101)]
    take(site, *approved)
    found = view(site, raised(site, values, number=200, base_amount=2_000)).why.compared
    assert found is not None
    assert (found.card_usual, found.merchant_usual) == (500, 4_000)
    assert (found.peers, found.peers_usual) == (100, 5_100)
    assert found.share_below == pytest.approx(0.19)


def test_rules_are_traced_as_of_the_version_that_decided(site: Site) -> None:
    values = features(hour=3.0, amount=100.0, card_count_10m=1)
    found = view(site, raised(site, values)).rules
    rows = {row.name: row for row in found.rows}
    assert found.known
    assert rows["night"].spoke
    assert (rows["burst"].spoke, rows["burst"].value) == (False, "1")
    assert "card_count_10m" in rows["burst"].clause or "count(card, 10m)" in rows["burst"].clause
    other = compile_rules('rule x "x" :\n    when amount > 1\n    then note\n', VOCABULARY)
    site.shelf.rule_sets = {other.version: other}
    assert view(site, raised(site, number=101, card="4111")).rules.known is False


def test_graph_is_frozen_at_the_alert_and_now_beside_it(site: Site) -> None:
    take(site, seen(1, decision(1, merchant="BEFORE")))
    effects = [SideEvent(tx_hash("tx1"), STREAM + SECOND, 0.5)]
    (number,) = take(site, seen(100, decision(100, Action.REVIEW), effects=effects))
    take(site, seen(200, decision(200, merchant="LATER")))
    case = case_of(site, number)
    frozen, now = (site.desk.graph(case, site["vera"], NOW, at=at) for at in ("alert", "now"))
    shops = [{node.name for node in graph.nodes if node.kind == "merchant"} for graph in (frozen, now)]
    assert shops == [{"BEFORE", "M000234"}, {"BEFORE", "M000234", "LATER"}]
    assert (frozen.at, now.at) == ("alert", "now")
    assert [edge.effect for edge in frozen.edges if edge.effect] == [0.5]
    assert frozen == view(site, number).graph
    take(site, seen(201, decision(201, card="5111222233334444")))
    assert {node.ring for node in site.desk.graph(case, site["vera"], NOW, at="now", hops=1).nodes} == {0, 1}


def test_payments_go_on_by_key_with_verdicts_known_by_now(site: Site) -> None:
    take(site, *[seen(n, decision(n)) for n in range(1, 60)], chargeback(3, card=CARD))
    number = raised(site)
    found = view(site, number)
    rows, after = list(found.payments), found.payments_after
    assert (rows[0].this, rows[0].here, rows[0].case, rows[0].took) == (True, True, case_of(site, number), "review")
    while after:
        page = site.desk.timeline(found.case, site["vera"], NOW, after)
        rows, after = [*rows, *page.payments], page.after
    assert [row.tx_id for row in rows] == ["tx100", *[f"tx{n}" for n in range(59, 0, -1)]]
    known = {row.tx_id: (row.verdict, row.source) for row in rows}
    assert (known["tx3"], known["tx4"]) == (("fraud", "chargeback"), (None, None))


def test_trail_of_a_label_goes_from_verdict_to_live(site: Site) -> None:
    number = alerted(site, 1)
    decided(site, number)
    (trail,) = view(site, number).trails
    assert (trail.verdict, trail.version, trail.decided_at, trail.send_at) == ("fraud", 0, NOW, NOW + 10 * SECOND)
    assert (trail.sent_at, trail.known_at, trail.live_at, trail.why_not) == (0, 0, 0, "")
    with site.database.write() as connection:
        connection.execute(update(label_trace).values(sent_at=NOW + 1, known_at=NOW + 2, applied_at=NOW + 3))
    (trail,) = view(site, number).trails
    assert (trail.sent_at, trail.known_at, trail.applied_at) == (NOW + 1, NOW + 2, NOW + 3)
    assert trail.why_not == "no learner has told this console anything"
    with site.database.write() as connection:
        connection.execute(update(label_trace).values(live_in_model="12-abc", live_at=NOW + 4))
    (trail,) = view(site, number).trails
    assert (trail.live_in, trail.live_at, trail.why_not) == ("12-abc", NOW + 4, "")


def test_notes_tags_and_earlier_verdicts_on_the_card_are_shown(site: Site) -> None:
    first = alerted(site, 1, card="4111")
    decided(site, first, "genuine", note="travels")
    second = alerted(site, 2, card="4111")
    case = case_of(site, second)
    site.desk.note(site["anna"], case, "  called twice ", NOW)
    site.desk.tag(site["anna"], case, "Travel", NOW)
    site.desk.tag(site["ben"], case, "travel", NOW)
    found = view(site, second, "ben")
    assert [(note.by, note.text) for note in found.notes] == [("A. Novak", "called twice")]
    assert found.tags == ("travel",)
    assert [(each.verdict, each.by, each.note) for each in found.card_verdicts] == [("genuine", "A. Novak", "travels")]
    site.desk.tag(site["ben"], case, "travel", NOW, remove=True)
    assert view(site, second).tags == ()


def test_what_one_can_do_depends_on_state_lock_and_role(site: Site) -> None:
    number = alerted(site, 1)
    assert view(site, number, "vera").can == ()
    assert {"decide", "lock", "escalate", "note"} <= set(view(site, number).can)
    site.desk.lock(site["ben"], case_of(site, number), NOW)
    assert "decide" not in view(site, number).can
    assert "decide" in view(site, number, "ben").can
    site.desk.let_go(site["ben"], case_of(site, number), NOW)
    decided(site, number)
    assert "reopen" in view(site, number).can
    assert "decide" not in view(site, number).can


def test_next_case_is_looked_ahead_without_a_lock(site: Site) -> None:
    one, two = alerted(site, 1, at_stake=2), alerted(site, 2, at_stake=1)
    assert view(site, one).next == case_of(site, two)
    assert view(site, one, "vera").next is None
    assert site.desk.row([two], site["anna"], NOW)[0].owner is None


def test_dossier_holds_all_that_was_done_and_is_itself_in_the_log(site: Site) -> None:
    number = alerted(site, 1)
    decided(site, number)
    found = site.desk.dossier(case_of(site, number), site["lea"], NOW)
    assert [step.action for step in found.history] == ["verdict.fraud"]
    newest = site.desk.audit(site["ada"], NOW).rows[0]
    assert (newest.action, newest.actor) == ("case.print", "L. Haddad")
    assert found.audit_head == f"{newest.seq}:{newest.mac}"


def test_card_is_revealed_to_analysts_and_that_is_logged(site: Site) -> None:
    number = raised(site)
    case = case_of(site, number)
    assert site.desk.reveal(site["anna"], case, NOW) == CARD
    key = view(site, number).card.key
    assert site.desk.reveal_entity(site["ben"], int(key.removeprefix("~")), NOW) == CARD
    rows = site.desk.audit(site["ada"], NOW).rows
    assert [(row.actor, row.action) for row in rows] == [("B. Lang", "card.reveal"), ("A. Novak", "card.reveal")]
    assert CARD not in msgspec.json.encode(rows).decode()


def test_entity_shows_history_open_alerts_and_whether_a_card_is_blocked(site: Site) -> None:
    number = alerted(site, 1, card=CARD, device="D1")
    shop = site.desk.entity(site["vera"], "merchant", "M000234", NOW)
    assert [row.alert for row in shop.open_alerts] == [number]
    assert (shop.cards, len(shop.payments), shop.blocked) == (1, 1, False)
    key = view(site, number).card.key
    assert site.desk.entity(site["vera"], "card", key, NOW).entity.name == "4···121"
    assert site.desk.entity(site["vera"], "card", CARD, NOW).entity.key == key
    assert site.desk.entity(site["vera"], "device", "D1", NOW).alerts == 1
    decided(site, number)
    found = site.desk.entity(site["vera"], "card", key, NOW)
    assert (found.blocked, found.open_alerts, [each.verdict for each in found.verdicts]) == (True, (), ["fraud"])
    for kind, name in (("merchant", "nowhere"), ("shop", "M000234"), ("merchant", key), ("card", "~x")):
        with pytest.raises(UnknownError):
            site.desk.entity(site["vera"], kind, name, NOW)


def test_notes_and_tags_keep_no_character_that_nobody_sees(site: Site) -> None:
    case = case_of(site, alerted(site, 1))
    site.desk.note(site["anna"], case, "one\u202e\x07 two\nthree \u2067\U0001f600", NOW)
    site.desk.tag(site["anna"], case, "\u202eTravel\x1b  abroad", NOW)
    found = site.desk.case(case, site["anna"], NOW)
    assert [note.text for note in found.notes] == ["one two\nthree \U0001f600"]
    assert found.tags == ("travel abroad",)
    with pytest.raises(InvalidError):
        site.desk.note(site["anna"], case, "\u202e", NOW)


@pytest.mark.parametrize("name", ["..", "shop.json", "~7", "x" * 256])
def test_name_that_no_address_carries_goes_by_its_number(site: Site, name: str) -> None:
    key = view(site, alerted(site, 1, merchant=name)).alert.row.merchant.key
    assert re.fullmatch(r"~\d+", key)
    assert site.desk.entity(site["vera"], "merchant", key, NOW).entity.name == name


@pytest.mark.parametrize("key", ["~99999999999999999999", "~-1", f"~{2**63}"])
def test_number_that_no_database_keeps_is_nobody(site: Site, key: str) -> None:
    with pytest.raises(UnknownError):
        site.desk.entity(site["vera"], "merchant", key, NOW)


def test_search_leads_to_cards_alerts_cases_and_notes(site: Site) -> None:
    number = alerted(site, 1, card=CARD)
    take(site, seen(2, decision(2, card=CARD)))
    case = case_of(site, number)
    site.desk.note(site["anna"], case, "calls from Lisbon", NOW)
    key = view(site, number).card.key
    found = {
        text: [(hit.kind, hit.address) for hit in site.desk.search(site["vera"], text, NOW).hits]
        for text in (CARD, "tx1", "tx2", "lisb", "nothing")
    }
    assert found[CARD] == [("card", f"/entities/card/{key}")]
    assert found["tx1"] == [("alert", f"/cases/{case}?alert={number}")]
    assert found["tx2"] == [("payment", f"/entities/card/{key}")]
    assert found["lisb"] == [("note", f"/cases/{case}")]
    assert found["nothing"] == []


def test_a_realistic_month_is_shown_whole_on_every_page(site: Site) -> None:
    realistic(site)
    desk, lead = site.desk, site["lea"]
    for badge in desk.badges(lead, NOW):
        for row in desk.queue(badge.query, lead, NOW).rows[:8]:
            found = desk.case(row.case, lead, NOW, row.alert)
            assert found.alert.row.alert == row.alert
            assert found.graph.nodes[0].ring == 0
    pages = desk.team(lead, NOW), desk.model(lead, NOW), desk.rules(lead, NOW)
    assert all(msgspec.json.encode(page) for page in pages)
