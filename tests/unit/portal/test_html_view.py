"""What is left of a stranger's HTML lays out text and does nothing else."""

from __future__ import annotations

from portal.html_view import safe_view


def shown(html: str) -> str:
    return safe_view(html, title="t").document.partition("<body>")[2]


def test_ordinary_mail_keeps_its_shape() -> None:
    page = shown('<table><tr><td style="color:red">Hello <b>you</b></td></tr></table>')
    assert "<b>you</b>" in page
    assert "color:red" in page


def test_a_link_says_where_it_leads() -> None:
    page = shown('<a href="https://evil.example/login">https://bank.example</a>')
    assert "[evil.example]" in page
    assert 'rel="noopener noreferrer nofollow"' in page
    assert 'target="_blank"' in page


def test_remote_pictures_are_left_out_and_it_is_said() -> None:
    view = safe_view('<img src="https://tracker.example/p.gif">', title="t")
    assert "tracker.example" not in view.document
    assert view.left_out_remote


def test_inline_pictures_stay() -> None:
    assert "data:image/png;base64,iVBORw0KGgo=" in shown('<img src="data:image/png;base64,iVBORw0KGgo=">')


def test_mail_without_remote_content_says_so() -> None:
    assert not safe_view("<p>hello</p>", title="t").left_out_remote


def test_the_title_cannot_break_out() -> None:
    assert "<script>" not in safe_view("x", title="</title><script>alert(1)</script>").document
