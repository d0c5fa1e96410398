"""What a competent developer writes in an afternoon: the baseline the engine is set against.

    python -m bench.naive FOLDER PORT

No part of l3mail is imported here. ORM rows, Jinja templates rendered for each person, an
`EmailMessage`, a timed token of itsdangerous in each link, aiosmtplib with one kept connection for
each of twenty workers, and every row marked and committed once its mail is handed over. Templates
are loaded once, SQLite has WAL and rows stay loaded, as the competent do it. It prints its seconds
and its count.
"""

import argparse
import asyncio
import json
import time
from datetime import UTC, datetime
from email.message import EmailMessage
from email.utils import formatdate
from pathlib import Path

from aiosmtplib import SMTP
from itsdangerous import URLSafeTimedSerializer  # noqa: TID251 - others have no Clock
from jinja2 import Environment, FileSystemLoader, select_autoescape
from sqlalchemy import create_engine, event, select
from sqlalchemy.orm import DeclarativeBase, Mapped, Session, mapped_column

WORKERS = 20
BASE_URL = "https://stadt.example"
SENDER = "Bildung in Musterstadt <kurs@stadt.example>"
DATABASE = "naive.db"
SUBJECT, TEXT, HTML = "subject.txt", "mail.txt", "mail.html"


class Base(DeclarativeBase):
    pass


class Recipient(Base):
    __tablename__ = "recipient"

    id: Mapped[int] = mapped_column(primary_key=True)
    email: Mapped[str] = mapped_column(unique=True)
    first_name: Mapped[str]
    last_name: Mapped[str]
    sent_at: Mapped[datetime | None] = mapped_column(index=True)


def open_session(folder: Path) -> Session:
    engine = create_engine(f"sqlite:///{folder / DATABASE}")

    @event.listens_for(engine, "connect")
    def configure(connection: object, _record: object) -> None:
        cursor = connection.cursor()  # type: ignore[attr-defined]
        cursor.execute("PRAGMA journal_mode = WAL")
        cursor.execute("PRAGMA synchronous = FULL")
        cursor.close()

    Base.metadata.create_all(engine)
    return Session(engine, expire_on_commit=False)


class Mailing:
    def __init__(self, folder: Path, port: int) -> None:
        self.session = open_session(folder)
        self.port = port
        self.templates = Environment(
            loader=FileSystemLoader(folder), autoescape=select_autoescape(["html"])
        )
        self.serializer = URLSafeTimedSerializer("a secret key", salt="mailing")
        self.queue: asyncio.Queue[Recipient] = asyncio.Queue()
        self.sent = 0

    async def send(self) -> None:
        waiting = select(Recipient).where(Recipient.sent_at.is_(None)).order_by(Recipient.id)
        for recipient in self.session.scalars(waiting):
            self.queue.put_nowait(recipient)
        await asyncio.gather(*(self.work() for _ in range(WORKERS)))

    async def work(self) -> None:
        async with SMTP(hostname="127.0.0.1", port=self.port, start_tls=False) as smtp:
            while not self.queue.empty():
                recipient = self.queue.get_nowait()
                await smtp.send_message(self.compose(recipient))
                recipient.sent_at = datetime.now(UTC)  # noqa: TID251 - others have no Clock
                self.session.commit()
                self.sent += 1

    def compose(self, recipient: Recipient) -> EmailMessage:
        def token(purpose: str, number: int = 0) -> str:
            return str(self.serializer.dumps([recipient.id, purpose, number]))

        values = {
            "first_name": recipient.first_name,
            "last_name": recipient.last_name,
            "token": token,
        }
        mail = EmailMessage()
        mail["From"] = SENDER
        mail["To"] = recipient.email
        mail["Subject"] = self.templates.get_template(SUBJECT).render(values)
        mail["Date"] = formatdate()
        mail["Message-ID"] = f"<{recipient.id}.{recipient.id:032x}@stadt.example>"
        mail["List-Id"] = "Bildung im Stadtteil <newsletter.stadt.example>"
        mail["List-Unsubscribe"] = f"<{BASE_URL}/unsubscribe/{token('unsubscribe')}>"
        mail["List-Unsubscribe-Post"] = "List-Unsubscribe=One-Click"
        mail.set_content(self.templates.get_template(TEXT).render(values))
        mail.add_alternative(self.templates.get_template(HTML).render(values), subtype="html")
        return mail


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m bench.naive")
    parser.add_argument("folder", type=Path)
    parser.add_argument("port", type=int)
    options = parser.parse_args()
    mailing = Mailing(options.folder, options.port)
    began = time.perf_counter()
    asyncio.run(mailing.send())
    print(json.dumps({"seconds": time.perf_counter() - began, "sent": mailing.sent}))


if __name__ == "__main__":
    main()
