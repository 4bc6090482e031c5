from sagesched_gateway.scheduling.alarms import Alarm, Alarms


def test_the_shell_hears_of_the_earliest_once():
    alarms = Alarms()
    assert alarms.news(0.0) is None
    alarms.set(Alarm.DEADLINE, 5.0)
    alarms.set(Alarm.PREFILL, 3.0)
    assert alarms.news(0.0) == 3.0
    assert alarms.news(1.0) is None


def test_a_later_one_is_told_when_the_earlier_has_passed():
    alarms = Alarms()
    alarms.set(Alarm.DEADLINE, 5.0)
    alarms.set(Alarm.PREFILL, 3.0)
    assert alarms.news(0.0) == 3.0
    alarms.woken()
    assert alarms.news(3.0) == 5.0


def test_an_earlier_one_replaces_what_was_told():
    alarms = Alarms()
    alarms.set(Alarm.DEADLINE, 5.0)
    assert alarms.news(0.0) == 5.0
    alarms.set(Alarm.OVERFLOW, 2.0)
    assert alarms.news(0.0) == 2.0


def test_waking_too_early_asks_again():
    alarms = Alarms()
    alarms.set(Alarm.DEADLINE, 5.0)
    assert alarms.news(0.0) == 5.0
    alarms.woken()
    assert alarms.news(4.9) == 5.0


def test_what_has_passed_unnoticed_is_not_asked_for():
    alarms = Alarms()
    alarms.set(Alarm.PREFILL, 3.0)
    assert alarms.news(4.0) is None
