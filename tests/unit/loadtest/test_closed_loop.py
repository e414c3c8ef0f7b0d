import pytest

from loadtest.load.closed_loop import Answers, read_answers

# wrk pads a latency in seconds with a space.
PRINTED = """\
Running 2s test @ http://127.0.0.1:26926
  1 threads and 64 connections
  Thread Stats   Avg      Stdev     Max   +/- Stdev
    Latency   287.67ms  310.38ms   1.05s    80.19%
    Req/Sec   558.17    373.45     1.34k    66.67%
  Latency Distribution
     50%  921.00us
     75%  477.80ms
     90%  856.78ms
     99%    1.05s 
  709 requests in 2.08s, 220.18KB read
Requests/sec:    340.87
Transfer/sec:    105.86KB
not 2xx: 0
"""  # noqa: W291


def test_the_output_of_wrk_is_parsed() -> None:
    assert read_answers(PRINTED) == Answers(709, 340.87, 0.921, 1050)


def test_incomplete_output_of_wrk_is_an_error() -> None:
    with pytest.raises(RuntimeError, match="no latency at 99%"):
        read_answers(PRINTED.replace("     99%", "      9%"))
    with pytest.raises(RuntimeError, match="no rate"):
        read_answers("unable to connect")
