"""The OpenAPI document is true: whatever is sent by it, or against it, is answered as it says, and never with a 5xx.

MANZAR_CASES=5000 makes about so many requests instead of a few per route.
"""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest
import schemathesis
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis.errors import Unsatisfiable
from schemathesis import GenerationMode
from schemathesis.checks import not_a_server_error
from schemathesis.schemas import APIOperation
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
    status_code_conformance,
    unsupported_method,
)
from serving import House, running

CASES = int(os.environ.get("MANZAR_CASES", "150"))
CHECKS = [not_a_server_error, status_code_conformance, content_type_conformance, response_headers_conformance,
          response_schema_conformance, unsupported_method]  # fmt: skip


@pytest.fixture(scope="module")
def house(tmp_path_factory: pytest.TempPathFactory) -> Iterator[House]:
    with running(tmp_path_factory.mktemp("schema"), queued_per_key=10**9, max_upload_bytes=1 << 20) as one:
        yield one


@pytest.fixture(scope="module")
def operations(house: House) -> list[APIOperation]:
    document = schemathesis.openapi.from_url(f"{house.url}/openapi.json")
    return [result.ok() for result in document.get_all_operations()]


def hold_to(operation: APIOperation, mode: GenerationMode, cases: int) -> int:
    """Send so many requests of an operation; how many were sent."""
    sent = 0

    @settings(max_examples=cases, deadline=None, phases=[Phase.generate], suppress_health_check=list(HealthCheck),
              derandomize=True, database=None)
    @given(case=operation.as_strategy(generation_mode=mode))
    def check(case: schemathesis.Case) -> None:
        nonlocal sent
        sent += 1
        case.call_and_validate(checks=CHECKS, timeout=30)

    check()
    return sent


@pytest.mark.timeout(3600)
def test_every_answer_is_as_documented(operations: list[APIOperation]) -> None:
    assert len(operations) > 30
    # Half of all cases go to the routes with bodies, which are a quarter of them and where things go wrong.
    with_body = [operation for operation in operations if "requestBody" in operation.definition.raw]
    sent, wrong = 0, []
    for operation in operations:
        alike = len(with_body) if operation in with_body else len(operations) - len(with_body)
        cases = max(1, CASES // (4 * alike))
        for mode in GenerationMode:
            try:
                sent += hold_to(operation, mode, cases)
            except Unsatisfiable:  # there is no wrong way to ask for this
                continue
            except Exception as failure:
                wrong.append(f"{operation.label} ({mode.value}): {failure}")
    print(f"{sent} requests to {len(operations)} operations")
    assert not wrong, "\n\n".join(wrong)
