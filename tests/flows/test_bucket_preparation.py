"""What the playbook runs to make the bucket of a MinIO on the same machine, against a real one."""

from __future__ import annotations

import secrets
import subprocess
import sys
from pathlib import Path

from mailstore import object_store_url
from mailstore.s3_bucket import S3Bucket
from mailstore.s3_credentials import CredentialsFile
from tests import s3_servers

PREPARE = Path(__file__).parents[2] / "ansible" / "roles" / "object_store" / "files" / "prepare_bucket.py"


def test_bucket_and_its_key_are_made_once_and_nothing_is_changed_again(tmp_path: Path) -> None:
    server, bucket = s3_servers.minio(), f"clinic-{secrets.token_hex(4)}"
    environment, credentials = tmp_path / "environment", tmp_path / "credentials"
    environment.write_text(f"MINIO_ROOT_USER={server.access_key}\nMINIO_ROOT_PASSWORD={server.secret_key}\n", "ascii")
    told = [f"127.0.0.1:{server.port}", bucket, str(environment), str(credentials)]
    said = [_said(told) for _ in range(5)]
    assert said == ["changed", *["unchanged"] * 4]
    assert credentials.stat().st_mode & 0o077 == 0o040
    assert not list(S3Bucket(object_store_url.parsed(server.url(bucket)), CredentialsFile(credentials)).names())


def _said(told: list[str]) -> str:
    done = subprocess.run([sys.executable, str(PREPARE), *told], capture_output=True, text=True, check=True)
    return done.stdout.strip()
