"""Which delivered profile carries which trouble."""

from __future__ import annotations

import numpy as np

from simulator.world import identifiers as ids
from simulator.world.bank import Bank
from simulator.world.contacts import CRM, NO_COMPANY, PARTNERS
from simulator.world.profiles import KIOSK_DEVICE


def troubles_of(bank: Bank) -> list[tuple[str, str, np.ndarray]]:
    """(source, trouble, mask over the profiles of the source)."""
    core, app, web, world = bank.core, bank.app, bank.web, bank.world
    person = core.person
    first = ~core.is_second
    devices, uses = np.unique(app.device[app.device >= 0], return_counts=True)
    found = [
        ("core_banking", "family_phone", world.has_family_phone[person] & first),
        ("core_banking", "recycled_phone_lost", world.lost_number[person] & first),
        ("core_banking", "recycled_phone_taken", world.took_number[person] & first),
        ("core_banking", "stale_phone", world.has_stale_core_phone[person] & first),
        ("core_banking", "placeholder_phone", core.phone <= ids.PLACEHOLDER_BASE),
        ("core_banking", "missing_phone", core.phone == ids.NO_PHONE),
        ("core_banking", "landline", core.phone == ids.LANDLINE),
        ("core_banking", "phone_dressed_up", (core.phone >= 0) & (core.phone_style > 0)),
        ("core_banking", "second_core_record", core.is_second),
        ("core_banking", "id_15_digits", core.id_form == ids.ID_15),
        ("core_banking", "id_wrong_check", core.id_form == ids.ID_WRONG_CHECK),
        ("core_banking", "id_missing", core.id_form == ids.ID_MISSING),
        ("core_banking", "id_placeholder", core.id_form == ids.ID_PLACEHOLDER),
        ("core_banking", "id_full_width", core.id_form == ids.ID_FULL_WIDTH),
        ("core_banking", "foreign_document", core.id_form == ids.ID_FOREIGN),
        ("mobile_app", "family_phone", world.has_family_phone[app.person] & (app.phone >= 0)),
        ("mobile_app", "recycled_phone_taken", world.took_number[app.person] & (app.phone >= 0)),
        ("mobile_app", "shared_tablet", np.isin(app.device, devices[uses > 1])),
        ("core_banking", "family_phone_hidden_owner", world.has_hidden_owner[person] & first),
        ("mobile_app", "placeholder_device", (app.device < 0) & (app.device > KIOSK_DEVICE)),
        ("mobile_app", "kiosk_device", app.device <= KIOSK_DEVICE),
        ("mobile_app", "recycled_phone_hidden_taker", world.took_hidden[app.person] & (app.phone >= 0)),
        ("mobile_app", "second_app_profile", app.is_second),
        ("mobile_app", "unbound", app.bound_from > 0),
        ("mobile_app", "name_variant", app.name_style > 0),
        ("web", "placeholder_login", web.has_placeholder),
        ("web", "clerk_on_kiosk", web.kiosk >= 0),
        ("web", "anonymous", ~web.signs_in & (web.phone < 0)),
    ]
    for source, users in (("wechat_account", bank.followers), ("wechat_mini", bank.minis)):
        found.append((source, "unionid_missing", ~users.has_unionid))
        found.append(
            (source, "recycled_phone_hidden_taker", world.took_hidden[users.person] & (users.phone_from == 0))
        )
        found.append((source, "unbound", (users.bound_from > 0) & (users.phone_from > 0)))
    contacts = bank.contacts
    found.append(("partner_list", "agent_phone", contacts[PARTNERS].has_agent_phone))
    found.append(("partner_list", "hashed_phone", contacts[PARTNERS].is_hashed))
    found.append(("branch_crm", "owns_company", contacts[CRM].company != NO_COMPANY))
    found += [
        (n, "family_phone", world.has_family_phone[c.person] & (c.phone >= 0)) for n, c in contacts.items()
    ]
    return found
