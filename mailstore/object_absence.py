"""Why an object that rows of a while ago name is not in the store: its message died meanwhile, or it is lost."""

from __future__ import annotations

from sqlalchemy import select

from mailstore.database import Database
from mailstore.keystore import Keystore
from mailstore.message import MessageId
from mailstore.tables import messages, shared_parts


def is_of_the_dead(database: Database, keystore: Keystore, name: str) -> bool:
    """True when no row needs the object any more, or the keys of all that do are destroyed."""
    with database.read() as connection:
        ids = [
            MessageId(found)
            for table in (messages, shared_parts)
            for found in connection.execute(select(table.c.id).where(table.c.object_name == name)).scalars()
        ]
    return all(keystore.is_destroyed(each) for each in ids)
