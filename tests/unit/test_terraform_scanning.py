import pytest

from processors.terraform.scanning import attributes, body_start


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("a = 1\nb=2", {"a", "b"}),
        ("# default = 1\n// default = 1\n/* default = 1 */\ntype = string", {"type"}),
        ('description = "default = 1"\n', {"description"}),
        ('description = "${"}"} default"\ndefault = 1', {"description", "default"}),
        ('description = "$${ \\" "\ndefault = 1', {"description", "default"}),
        ("description = <<-EOT\n  default = 1\n  EOT\n", {"description"}),
        ("description = <<EOT\n}\nEOT\ndefault = null", {"description", "default"}),
        ("type = object({\n  default = string\n})", {"type"}),
        ("validation {\n  default = 1\n}", set()),
        ("condition = a == default", {"condition"}),
        ("nullable = var.x <= 3 ? true : false\n", {"nullable"}),
        ("default = 1 }\nother = 2", {"default"}),
        ("", set()),
    ],
)
def test_the_attributes_of_a_body_are_found(text, found):
    assert attributes(text) == found


def test_a_body_begins_after_its_header():
    text = 'variable "a" { default = 1 }'
    assert attributes(text, body_start(text, text.index(" {"))) == {"default"}
