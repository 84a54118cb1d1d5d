"""The report's matrices."""

from explainer.evaluation.report.heat_map import heat_maps


def test_the_matrix_of_each_method_or_of_one():
    values = [[1.0, float("nan")], [0.2, 0.51]]
    one = {"classes": ["a", "b"], "values": values}
    assert [m.name for m in heat_maps(one)] == [""]
    assert [m.name for m in heat_maps({"Explainer": one, "Grad-CAM": one})] == ["Explainer", "Grad-CAM"]
    assert [m.name for m in heat_maps({"classes": ["a", "b"], "methods": {"RTIS": values}})] == ["RTIS"]
    assert heat_maps(one)[0].cells == [
        [("100", 1.0, "1.0000", ""), ("–", 0.0, "unknown", "")],
        [("20", 0.2, "0.2000", ""), ("51", 0.51, "0.5100", "")],
    ]
    assert heat_maps(None) == []
    assert heat_maps({"classes": ["a"], "values": [[0.9, 0.5]]})[0].columns == ["no mask", "a"]
    many = [str(n) for n in range(80)]
    assert heat_maps({"classes": many, "values": [[0.5] * 80] * 80})[0].dense
