"""A first spec for somebody's table, which trains at once and says why it says what it says.

The way of a draft: `source` finds how the file is written, `cells` what its columns need to be
read, `plan` holds what was decided and why; the table is read by it as any spec's is, the survey
says what is odd about it, `network` chooses layers and SGD by its size, and `writing` makes the
commented YAML of it all.
"""

from trainer.drafting.draft import Draft, draft

__all__ = ["Draft", "draft"]
