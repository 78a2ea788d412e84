from feedplane_simulator.config import Market, SimulatorConfig


def test_changed_rules_hold_in_both_markets() -> None:
    config = SimulatorConfig().with_rules(lifetime_seconds=5.0)
    assert {rules.lifetime_seconds for rules in config.rules.values()} == {5.0}
    assert config.rules[Market.SPOT].messages_per_second == 5
    assert config.rules[Market.USDM].messages_per_second == 10
    assert SimulatorConfig().rules[Market.SPOT].lifetime_seconds == 86_400.0
