"""The troubles of each delivered profile."""

from __future__ import annotations

import numpy as np

from simulator.world import identifiers
from simulator.world.bank import Bank
from simulator.world.contacts import CRM, NO_COMPANY, PARTNERS
from simulator.world.profiles import KIOSK_DEVICE


def troubles_of(bank: Bank) -> list[tuple[str, str, np.ndarray]]:
    """Give (source, trouble, mask over the profiles of the source) for every kind of trouble."""
    core, app, web, people = bank.core, bank.app, bank.web, bank.people
    person = core.person
    is_main = ~core.is_second
    devices, user_counts = np.unique(app.device[app.device >= 0], return_counts=True)
    troubles = [
        ("core_banking", "family_phone", people.has_family_phone[person] & is_main),
        ("core_banking", "recycled_phone_lost", people.has_lost_number[person] & is_main),
        ("core_banking", "recycled_phone_taken", people.has_recycled_number[person] & is_main),
        ("core_banking", "stale_phone", people.has_stale_core_phone[person] & is_main),
        ("core_banking", "placeholder_phone", core.phone <= identifiers.PLACEHOLDER_BASE),
        ("core_banking", "missing_phone", core.phone == identifiers.NO_PHONE),
        ("core_banking", "landline", core.phone == identifiers.LANDLINE),
        ("core_banking", "phone_dressed_up", (core.phone >= 0) & (core.phone_style > 0)),
        ("core_banking", "second_core_record", core.is_second),
        ("core_banking", "id_15_digits", core.id_form == identifiers.ID_15),
        ("core_banking", "id_wrong_check", core.id_form == identifiers.ID_WRONG_CHECK),
        ("core_banking", "id_missing", core.id_form == identifiers.ID_MISSING),
        ("core_banking", "id_placeholder", core.id_form == identifiers.ID_PLACEHOLDER),
        ("core_banking", "id_full_width", core.id_form == identifiers.ID_FULL_WIDTH),
        ("core_banking", "foreign_document", core.id_form == identifiers.ID_FOREIGN),
        ("mobile_app", "family_phone", people.has_family_phone[app.person] & (app.phone >= 0)),
        ("mobile_app", "recycled_phone_taken", people.has_recycled_number[app.person] & (app.phone >= 0)),
        ("mobile_app", "shared_tablet", np.isin(app.device, devices[user_counts > 1])),
        ("core_banking", "family_phone_hidden_owner", people.has_hidden_owner[person] & is_main),
        ("mobile_app", "placeholder_device", (app.device < 0) & (app.device > KIOSK_DEVICE)),
        ("mobile_app", "kiosk_device", app.device <= KIOSK_DEVICE),
        ("mobile_app", "recycled_phone_hidden_taker", people.is_hidden_taker[app.person] & (app.phone >= 0)),
        ("mobile_app", "second_app_profile", app.is_second),
        ("mobile_app", "unbound", app.binding_night > 0),
        ("mobile_app", "name_variant", app.name_style > 0),
        ("web", "placeholder_login", web.has_placeholder_login),
        ("web", "clerk_on_kiosk", web.kiosk >= 0),
        ("web", "anonymous", ~web.is_signed_in & (web.phone < 0)),
    ]
    for source, users in (("wechat_account", bank.followers), ("wechat_mini", bank.minis)):
        troubles.append((source, "unionid_missing", ~users.has_unionid))
        troubles.append(
            (
                source,
                "recycled_phone_hidden_taker",
                people.is_hidden_taker[users.person] & (users.phone_night == 0),
            )
        )
        troubles.append((source, "unbound", (users.binding_night > 0) & (users.phone_night > 0)))
    contacts = bank.contacts
    troubles.append(("partner_list", "agent_phone", contacts[PARTNERS].has_agent_phone))
    troubles.append(("partner_list", "hashed_phone", contacts[PARTNERS].is_hashed))
    troubles.append(("branch_crm", "owns_company", contacts[CRM].company != NO_COMPANY))
    troubles += [
        (n, "family_phone", people.has_family_phone[c.person] & (c.phone >= 0)) for n, c in contacts.items()
    ]
    return troubles
