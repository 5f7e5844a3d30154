-- Written by `cdp tags compile` from the registry. Edit the registry, not this file.
-- One row per OneID of kind customer or prospect.
{{ config(materialized='table') }}

with read as (
    select {{ sent_to_every_task(['people_described', 'customers', 'profiles_described', 'account_owners', 'managers_keyed', 'events', 'transactions_judged', 'wealth_funnel', 'wallets_keyed', 'channel_responses', 'cards_keyed', 'referrals', 'activities', 'channels_reachable', 'people_refusing', 'contacts_keyed', 'global_controls', 'points_left', 'aum_by_month', 'balance_spans', 'assessments', 'holdings', 'identifier_observations', 'order_lines_keyed', 'parents', 'first_loans', 'credits_keyed', 'loans', 'leads', 'orders_judged', 'order_days', 'overdue_counts', 'controls_keyed', 'fund_values', 'payroll_days', 'payroll_retained', 'ledger_judged']) }}
        people.one_id,
        people.kind,
        cast(people_described.gender as string) as gender,
        cast(customers.age as int) as age,
        cast(customers.home_branch as string) as home_branch,
        cast(coalesce(customers.is_staff, false) as boolean) as is_staff,
        cast(coalesce(customers.has_medical_insurance, false) as boolean) as has_medical_insurance,
        cast(customers.education as string) as education,
        cast(customers.income_band as string) as income_band,
        cast(customers.marital_state as string) as marital_state,
        cast(customers.family_role as string) as family_role,
        cast(coalesce(customers.has_transaction_alerts, false) as boolean) as has_transaction_alerts,
        cast(customers.acquisition_channel as string) as acquisition_channel,
        cast(customers.acquisition_campaign as string) as acquisition_campaign,
        cast(customers.id_document_valid_until as date) as id_document_valid_until,
        cast(coalesce(customers.is_deceased, false) as boolean) as is_deceased,
        cast(coalesce(customers.is_merchant, false) as boolean) as is_merchant,
        cast(coalesce(customers.is_new_in_city, false) as boolean) as is_new_in_city,
        cast(profiles_described.city_tier as string) as city_tier,
        cast(profiles_described.occupation_class as string) as occupation_class,
        cast(account_owners.tenure_days as int) as tenure_days__read,
        cast(coalesce(array_sort(array_compact(account_owners.account_types_held)), cast(array() as array<string>)) as array<string>) as account_types_held,
        cast(coalesce(account_owners.has_repayment_contract, false) as boolean) as has_repayment_contract,
        cast(account_owners.is_opening_day_known as boolean) as is_opening_day_known,
        cast(coalesce(managers_keyed.has_relationship_manager, false) as boolean) as has_relationship_manager,
        cast(coalesce(events.is_mau, false) as boolean) as is_mau__read,
        cast(coalesce(events.is_dau, false) as boolean) as is_dau__read,
        cast(coalesce(events.login_days_30d, 0) as int) as login_days_30d__read,
        cast(events.days_since_login as int) as days_since_login,
        cast(coalesce(events.wealth_view_count_7d, 0) as int) as wealth_view_count_7d,
        cast(events.top_interest_30d as string) as top_interest_30d,
        cast(coalesce(events.content_view_count_30d, 0) as int) as content_view_count_30d,
        cast(events.preferred_hour_band as string) as preferred_hour_band,
        cast(events.preferred_device as string) as preferred_device,
        cast(coalesce(array_sort(array_compact(events.search_topics_30d)), cast(array() as array<string>)) as array<string>) as search_topics_30d,
        cast(coalesce(events.wallet_bind_count_30d, 0) as int) as wallet_bind_count_30d,
        cast(coalesce(events.has_activity_180d, false) as boolean) as has_activity_180d,
        cast(transactions_judged.days_since_active_txn as int) as days_since_active_txn,
        cast(coalesce(transactions_judged.active_txn_count_90d, 0) as int) as active_txn_count_90d,
        cast(coalesce(transactions_judged.active_txn_amount_90d, 0) as decimal(18,2)) as active_txn_amount_90d,
        cast(transactions_judged.top_spend_category_90d as string) as top_spend_category_90d,
        cast(coalesce(transactions_judged.large_inflow_7d, false) as boolean) as large_inflow_7d,
        cast(coalesce(transactions_judged.large_outflow_7d, false) as boolean) as large_outflow_7d,
        cast(coalesce(transactions_judged.active_txn_days_180d, 0) as int) as active_txn_days_180d,
        cast(coalesce(transactions_judged.has_key_transaction_30d, false) as boolean) as has_key_transaction_30d,
        cast(coalesce(transactions_judged.has_school_fee_365d, false) as boolean) as has_school_fee_365d,
        cast(coalesce(transactions_judged.has_loan_prepaid_90d, false) as boolean) as has_loan_prepaid_90d,
        cast(coalesce(transactions_judged.has_bill_paid_180d, false) as boolean) as has_bill_paid_180d,
        cast(coalesce(transactions_judged.is_payroll, false) as boolean) as is_payroll,
        cast(transactions_judged.payroll_avg_amount as decimal(18,2)) as payroll_avg_amount,
        cast(coalesce(transactions_judged.has_repeat_purchase_180d, false) as boolean) as has_repeat_purchase_180d,
        cast(coalesce(wealth_funnel.broken_at, 'NONE') as string) as wealth_funnel_break_7d,
        cast(coalesce(wallets_keyed.has_wallet_bound, false) as boolean) as has_wallet_bound,
        cast(wallets_keyed.days_since_wallet_bound as int) as days_since_wallet_bound,
        cast(coalesce(channel_responses.channel_habit, 'NONE') as string) as channel_habit,
        cast(cards_keyed.card_lifecycle as string) as card_lifecycle,
        cast(coalesce(cards_keyed.has_active_card, false) as boolean) as has_active_card,
        cast(coalesce(cards_keyed.active_credit_card_count, 0) as int) as active_credit_card_count,
        cast(cards_keyed.active_credit_card_days as int) as active_credit_card_days,
        cast(coalesce(referrals.referral_count_365d, 0) as int) as referral_count_365d,
        cast(coalesce(activities.has_dropped_out_of_activity_7d, false) as boolean) as has_dropped_out_of_activity_7d,
        cast(coalesce(array_sort(array_compact(channels_reachable.reachable_channels)), cast(array() as array<string>)) as array<string>) as reachable_channels,
        cast(coalesce(people_refusing.is_do_not_disturb, false) as boolean) as is_do_not_disturb,
        cast(coalesce(contacts_keyed.touch_count_7d, 0) as int) as touch_count_7d,
        cast(contacts_keyed.days_since_response as int) as days_since_response,
        cast(coalesce(contacts_keyed.touch_count_30d, 0) as int) as touch_count_30d,
        cast(coalesce(contacts_keyed.touch_channel_count_30d, 0) as int) as touch_channel_count_30d,
        cast(coalesce(global_controls.is_control, false) as boolean) as is_global_control,
        cast(global_controls.was_control as boolean) as assigned_global_control,
        cast(coalesce(points_left.points_balance, 0) as int) as points_balance,
        cast(coalesce(points_left.points_expiring_30d, 0) as int) as points_expiring_30d,
        cast(coalesce(aum_by_month.aum_avg_month_to_date, 0) as decimal(18,2)) as aum_avg_month_to_date,
        cast(coalesce(aum_by_month.aum_avg_lm_3, 0) as decimal(18,2)) as aum_avg_lm_3,
        cast(coalesce(aum_by_month.aum_max_monthly_avg_6m, 0) as decimal(18,2)) as aum_max_monthly_avg_6m,
        cast(coalesce(aum_by_month.aum_avg_last_month, 0) as decimal(18,2)) as aum_avg_last_month__read,
        cast(coalesce(array_sort(array_compact(balance_spans.product_classes_held)), cast(array() as array<string>)) as array<string>) as product_classes_held,
        cast(coalesce(balance_spans.aum_eod, 0) as decimal(18,2)) as aum_eod,
        cast(coalesce(balance_spans.demand_balance, 0) as decimal(18,2)) as demand_balance,
        cast(coalesce(balance_spans.time_deposit_balance, 0) as decimal(18,2)) as time_deposit_balance,
        cast(coalesce(balance_spans.wealth_balance, 0) as decimal(18,2)) as wealth_balance,
        cast(assessments.risk_assessed_until as date) as risk_assessed_until,
        cast(assessments.risk_capacity as string) as risk_capacity,
        cast(holdings.max_held_risk as string) as max_held_risk,
        cast(coalesce(holdings.has_financial_product, false) as boolean) as has_financial_product,
        cast(holdings.days_to_next_maturity as int) as days_to_next_maturity,
        cast(coalesce(identifier_observations.is_app_registered, false) as boolean) as is_app_registered,
        cast(identifier_observations.app_registered_days as int) as app_registered_days,
        cast(order_lines_keyed.large_line_ratio_365d as decimal(18,6)) as large_line_ratio_365d,
        cast(coalesce(order_lines_keyed.net_spend_365d, 0) as decimal(18,2)) as net_spend_365d,
        cast(order_lines_keyed.average_order_value as decimal(18,2)) as average_order_value,
        cast(order_lines_keyed.return_ratio_365d as decimal(18,6)) as return_ratio_365d,
        cast(order_lines_keyed.top_category_365d as string) as top_category_365d,
        cast(coalesce(order_lines_keyed.distinct_product_count_365d, 0) as int) as distinct_product_count_365d,
        cast(coalesce(parents.is_parent, false) as boolean) as is_parent,
        cast(coalesce(first_loans.is_open, false) as boolean) as is_open_to_first_loan,
        cast(coalesce(credits_keyed.has_running_loan, false) as boolean) as has_running_loan,
        cast(credits_keyed.is_credit_delay_known as boolean) as is_credit_delay_known,
        cast(credits_keyed.card_utilisation_ratio as decimal(18,6)) as card_utilisation_ratio,
        cast(credits_keyed.days_past_due as int) as days_past_due__read,
        cast(credits_keyed.loan_class_worst as string) as loan_class_worst,
        cast(coalesce(credits_keyed.loan_balance, 0) as decimal(18,2)) as loan_balance,
        cast(coalesce(loans.has_loan_paid_early_90d, false) as boolean) as has_loan_paid_early_90d,
        cast(coalesce(leads.has_scene_lead_180d, false) as boolean) as has_scene_lead_180d,
        cast(coalesce(orders_judged.order_count_365d, 0) as int) as order_count_365d,
        cast(orders_judged.days_since_last_order as int) as days_since_last_order,
        cast(orders_judged.first_order_on as date) as first_order_on,
        cast(order_days.purchase_interval_days as decimal(18,2)) as purchase_interval_days,
        cast(overdue_counts.overdue_count_12m as int) as overdue_count_12m,
        cast(controls_keyed.aml_grade as string) as aml_grade,
        cast(coalesce(controls_keyed.is_account_controlled, false) as boolean) as is_account_controlled,
        cast(coalesce(fund_values.fund_balance, 0) as decimal(18,2)) as fund_balance,
        cast(payroll_days.payday as int) as payday,
        cast(payroll_retained.retained_ratio as decimal(18,6)) as payroll_retention_ratio_7d,
        cast(ledger_judged.contribution_12m as decimal(18,2)) as contribution_12m,
        array_compact(array(
            case when people_described.one_id is not null then 'people_described' end,
            case when customers.one_id is not null then 'customers' end,
            case when profiles_described.one_id is not null then 'profiles_described' end,
            case when account_owners.one_id is not null then 'account_owners' end,
            case when managers_keyed.one_id is not null then 'managers_keyed' end,
            case when events.one_id is not null then 'events' end,
            case when transactions_judged.one_id is not null then 'transactions_judged' end,
            case when wealth_funnel.one_id is not null then 'wealth_funnel' end,
            case when wallets_keyed.one_id is not null then 'wallets_keyed' end,
            case when channel_responses.one_id is not null then 'channel_responses' end,
            case when cards_keyed.one_id is not null then 'cards_keyed' end,
            case when referrals.one_id is not null then 'referrals' end,
            case when activities.one_id is not null then 'activities' end,
            case when channels_reachable.one_id is not null then 'channels_reachable' end,
            case when people_refusing.one_id is not null then 'people_refusing' end,
            case when contacts_keyed.one_id is not null then 'contacts_keyed' end,
            case when global_controls.one_id is not null then 'global_controls' end,
            case when points_left.one_id is not null then 'points_left' end,
            case when aum_by_month.one_id is not null then 'aum_by_month' end,
            case when balance_spans.one_id is not null then 'balance_spans' end,
            case when assessments.one_id is not null then 'assessments' end,
            case when holdings.one_id is not null then 'holdings' end,
            case when identifier_observations.one_id is not null then 'identifier_observations' end,
            case when order_lines_keyed.one_id is not null then 'order_lines_keyed' end,
            case when parents.one_id is not null then 'parents' end,
            case when first_loans.one_id is not null then 'first_loans' end,
            case when credits_keyed.one_id is not null then 'credits_keyed' end,
            case when loans.one_id is not null then 'loans' end,
            case when leads.one_id is not null then 'leads' end,
            case when orders_judged.one_id is not null then 'orders_judged' end,
            case when order_days.one_id is not null then 'order_days' end,
            case when overdue_counts.one_id is not null then 'overdue_counts' end,
            case when controls_keyed.one_id is not null then 'controls_keyed' end,
            case when fund_values.one_id is not null then 'fund_values' end,
            case when payroll_days.one_id is not null then 'payroll_days' end,
            case when payroll_retained.one_id is not null then 'payroll_retained' end,
            case when ledger_judged.one_id is not null then 'ledger_judged' end
        )) as read_sources,
        array_compact(array(
            case when customers.age is not null and cast(customers.age as int) is null then 'age' end,
            case when customers.id_document_valid_until is not null and cast(customers.id_document_valid_until as date) is null then 'id_document_valid_until' end,
            case when account_owners.tenure_days is not null and cast(account_owners.tenure_days as int) is null then 'tenure_days' end,
            case when account_owners.is_opening_day_known is not null and cast(account_owners.is_opening_day_known as boolean) is null then 'is_opening_day_known' end,
            case when events.days_since_login is not null and cast(events.days_since_login as int) is null then 'days_since_login' end,
            case when transactions_judged.days_since_active_txn is not null and cast(transactions_judged.days_since_active_txn as int) is null then 'days_since_active_txn' end,
            case when transactions_judged.payroll_avg_amount is not null and cast(transactions_judged.payroll_avg_amount as decimal(18,2)) is null then 'payroll_avg_amount' end,
            case when wallets_keyed.days_since_wallet_bound is not null and cast(wallets_keyed.days_since_wallet_bound as int) is null then 'days_since_wallet_bound' end,
            case when cards_keyed.active_credit_card_days is not null and cast(cards_keyed.active_credit_card_days as int) is null then 'active_credit_card_days' end,
            case when contacts_keyed.days_since_response is not null and cast(contacts_keyed.days_since_response as int) is null then 'days_since_response' end,
            case when global_controls.was_control is not null and cast(global_controls.was_control as boolean) is null then 'assigned_global_control' end,
            case when assessments.risk_assessed_until is not null and cast(assessments.risk_assessed_until as date) is null then 'risk_assessed_until' end,
            case when holdings.days_to_next_maturity is not null and cast(holdings.days_to_next_maturity as int) is null then 'days_to_next_maturity' end,
            case when identifier_observations.app_registered_days is not null and cast(identifier_observations.app_registered_days as int) is null then 'app_registered_days' end,
            case when order_lines_keyed.large_line_ratio_365d is not null and cast(order_lines_keyed.large_line_ratio_365d as decimal(18,6)) is null then 'large_line_ratio_365d' end,
            case when order_lines_keyed.average_order_value is not null and cast(order_lines_keyed.average_order_value as decimal(18,2)) is null then 'average_order_value' end,
            case when order_lines_keyed.return_ratio_365d is not null and cast(order_lines_keyed.return_ratio_365d as decimal(18,6)) is null then 'return_ratio_365d' end,
            case when credits_keyed.is_credit_delay_known is not null and cast(credits_keyed.is_credit_delay_known as boolean) is null then 'is_credit_delay_known' end,
            case when credits_keyed.card_utilisation_ratio is not null and cast(credits_keyed.card_utilisation_ratio as decimal(18,6)) is null then 'card_utilisation_ratio' end,
            case when credits_keyed.days_past_due is not null and cast(credits_keyed.days_past_due as int) is null then 'days_past_due' end,
            case when orders_judged.days_since_last_order is not null and cast(orders_judged.days_since_last_order as int) is null then 'days_since_last_order' end,
            case when orders_judged.first_order_on is not null and cast(orders_judged.first_order_on as date) is null then 'first_order_on' end,
            case when order_days.purchase_interval_days is not null and cast(order_days.purchase_interval_days as decimal(18,2)) is null then 'purchase_interval_days' end,
            case when overdue_counts.overdue_count_12m is not null and cast(overdue_counts.overdue_count_12m as int) is null then 'overdue_count_12m' end,
            case when payroll_days.payday is not null and cast(payroll_days.payday as int) is null then 'payday' end,
            case when payroll_retained.retained_ratio is not null and cast(payroll_retained.retained_ratio as decimal(18,6)) is null then 'payroll_retention_ratio_7d' end,
            case when ledger_judged.contribution_12m is not null and cast(ledger_judged.contribution_12m as decimal(18,2)) is null then 'contribution_12m' end
        )) as lost_answers
    from {{ ref('int_people') }} people
    left join {{ ref('int_people_described') }} people_described
        on people_described.one_id = people.one_id
    left join {{ ref('tag_customer__customers') }} customers
        on customers.one_id = people.one_id
    left join {{ ref('tag_customer__profiles_described') }} profiles_described
        on profiles_described.one_id = people.one_id
    left join {{ ref('tag_customer__account_owners') }} account_owners
        on account_owners.one_id = people.one_id
    left join {{ ref('tag_customer__managers_keyed') }} managers_keyed
        on managers_keyed.one_id = people.one_id
    left join {{ ref('tag_customer__events') }} events
        on events.one_id = people.one_id
    left join {{ ref('tag_customer__transactions_judged') }} transactions_judged
        on transactions_judged.one_id = people.one_id
    left join {{ ref('int_wealth_funnel') }} wealth_funnel
        on wealth_funnel.one_id = people.one_id
    left join {{ ref('tag_customer__wallets_keyed') }} wallets_keyed
        on wallets_keyed.one_id = people.one_id
    left join {{ ref('tag_customer__channel_responses') }} channel_responses
        on channel_responses.one_id = people.one_id
    left join {{ ref('tag_customer__cards_keyed') }} cards_keyed
        on cards_keyed.one_id = people.one_id
    left join {{ ref('tag_customer__referrals') }} referrals
        on referrals.one_id = people.one_id
    left join {{ ref('tag_customer__activities') }} activities
        on activities.one_id = people.one_id
    left join {{ ref('tag_customer__channels_reachable') }} channels_reachable
        on channels_reachable.one_id = people.one_id
    left join {{ ref('tag_customer__people_refusing') }} people_refusing
        on people_refusing.one_id = people.one_id
    left join {{ ref('tag_customer__contacts_keyed') }} contacts_keyed
        on contacts_keyed.one_id = people.one_id
    left join {{ ref('int_global_controls') }} global_controls
        on global_controls.one_id = people.one_id
    left join {{ ref('tag_customer__points_left') }} points_left
        on points_left.one_id = people.one_id
    left join {{ ref('tag_customer__aum_by_month') }} aum_by_month
        on aum_by_month.one_id = people.one_id
    left join {{ ref('tag_customer__balance_spans') }} balance_spans
        on balance_spans.one_id = people.one_id
    left join {{ ref('tag_customer__assessments') }} assessments
        on assessments.one_id = people.one_id
    left join {{ ref('tag_customer__holdings') }} holdings
        on holdings.one_id = people.one_id
    left join {{ ref('tag_customer__identifier_observations') }} identifier_observations
        on identifier_observations.one_id = people.one_id
    left join {{ ref('tag_customer__order_lines_keyed') }} order_lines_keyed
        on order_lines_keyed.one_id = people.one_id
    left join {{ ref('tag_customer__parents') }} parents
        on parents.one_id = people.one_id
    left join {{ ref('int_first_loans') }} first_loans
        on first_loans.one_id = people.one_id
    left join {{ ref('tag_customer__credits_keyed') }} credits_keyed
        on credits_keyed.one_id = people.one_id
    left join {{ ref('tag_customer__loans') }} loans
        on loans.one_id = people.one_id
    left join {{ ref('tag_customer__leads') }} leads
        on leads.one_id = people.one_id
    left join {{ ref('tag_customer__orders_judged') }} orders_judged
        on orders_judged.one_id = people.one_id
    left join {{ ref('tag_customer__order_days') }} order_days
        on order_days.one_id = people.one_id
    left join {{ ref('tag_customer__overdue_counts') }} overdue_counts
        on overdue_counts.one_id = people.one_id
    left join {{ ref('tag_customer__controls_keyed') }} controls_keyed
        on controls_keyed.one_id = people.one_id
    left join {{ ref('tag_customer__fund_values') }} fund_values
        on fund_values.one_id = people.one_id
    left join {{ ref('tag_customer__payroll_days') }} payroll_days
        on payroll_days.one_id = people.one_id
    left join {{ ref('int_payroll_retained') }} payroll_retained
        on payroll_retained.one_id = people.one_id
    left join {{ ref('tag_customer__ledger_judged') }} ledger_judged
        on ledger_judged.one_id = people.one_id
),

layer_1 as (
    select
        *,
        -- age_band: 年龄段 · Age band (tags/registry/basic.yml)
        cast(case
            when age < 18 then 'U18'
            when age < 25 then '18-24'
            when age < 35 then '25-34'
            when age < 45 then '35-44'
            when age < 60 then '45-59'
            when age >= 60 then '60P'
        end as string) as age_band,
        -- tenure_days: 开户天数 · Tenure days (tags/registry/basic.yml)
        case when not is_opening_day_known then null else tenure_days__read end as tenure_days,
        -- id_document_state: 证件有效状态 · ID validity (tags/registry/basic.yml)
        cast(case
            when id_document_valid_until < {{ business_date() }} then 'EXPIRED'
            when id_document_valid_until <= date_add({{ business_date() }}, 90) then 'EXP90'
            when id_document_valid_until is not null then 'VALID'
        end as string) as id_document_state,
        -- special_groups: 特色客群 · Special groups (tags/registry/basic.yml)
        cast(coalesce(array_sort(array_compact(array( case when age >= 60 then 'SILVER' end, case when is_payroll then 'PAYROLL' end, case when is_parent or has_school_fee_365d then 'PARENT' end, case when is_merchant then 'SHOP' end, case when is_new_in_city then 'NEWCITY' end))), cast(array() as array<string>)) as array<string>) as special_groups,
        -- is_mau: 当月活跃 · Active this month (tags/registry/behaviour.yml)
        case when not is_app_registered then null else is_mau__read end as is_mau,
        -- is_dau: 当日活跃 · Active today (tags/registry/behaviour.yml)
        case when not is_app_registered then null else is_dau__read end as is_dau,
        -- login_days_30d: 近30天登录天数 · Login days, 30 days (tags/registry/behaviour.yml)
        case when not is_app_registered then null else login_days_30d__read end as login_days_30d,
        -- has_key_action_30d: 近30天重点行为 · Key business action, 30 days (tags/registry/behaviour.yml)
        cast(coalesce(has_key_transaction_30d or coalesce(days_since_wallet_bound < 30, false) or wallet_bind_count_30d > 0, false) as boolean) as has_key_action_30d,
        -- scenario_ladder: 场景阶梯 · Scenario ladder (tags/registry/lifecycle.yml)
        case when not (has_financial_product or has_running_loan or has_bill_paid_180d or has_scene_lead_180d or has_activity_180d or coalesce(days_since_wallet_bound < 180, false) or active_txn_days_180d > 0) then null else cast(case
            when has_financial_product or has_running_loan then 'FINANCIAL'
            when has_bill_paid_180d or days_since_wallet_bound < 180 then 'QUASI_FINANCIAL'
            when has_scene_lead_180d or has_activity_180d then 'NON_FINANCIAL'
            when active_txn_days_180d > 0 then 'CASH_FLOW'
        end as string) end as scenario_ladder,
        -- fatigue: 触达疲劳 · Fatigue (tags/registry/marketing.yml)
        cast(coalesce(case
            when days_since_response < 30 then 'LOW'
            when touch_count_30d >= 6 then 'HIGH'
            when touch_count_30d >= 3 then 'MID'
            else 'LOW'
        end, 'LOW') as string) as fatigue,
        -- no_response_state: 无响应状态 · No-response state (tags/registry/marketing.yml)
        cast(coalesce(case
            when days_since_response < 30 then 'NONE'
            when touch_count_30d >= 3 and touch_channel_count_30d >= 2 then 'NO_RESPONSE'
            else 'NONE'
        end, 'NONE') as string) as no_response_state,
        -- shop_rfm_group: 零售RFM客群 · Shop RFM group (tags/registry/retail.yml)
        cast(case
            when days_since_last_order is null then null
            when net_spend_365d >= 1000 and days_since_last_order <= 90 and order_count_365d >= 4 then 'IMPORTANT_VALUE'
            when net_spend_365d >= 1000 and days_since_last_order <= 90 then 'IMPORTANT_DEV'
            when net_spend_365d >= 1000 and order_count_365d >= 4 then 'IMPORTANT_KEEP'
            when net_spend_365d >= 1000 then 'IMPORTANT_WINBACK'
            when days_since_last_order <= 90 and order_count_365d >= 4 then 'GEN_VALUE'
            when days_since_last_order <= 90 then 'GEN_DEV'
            when order_count_365d >= 4 then 'GEN_KEEP'
            else 'GEN_WINBACK'
        end as string) as shop_rfm_group,
        -- is_wholesale: 批发客户 · Wholesale buyer (tags/registry/retail.yml)
        cast(coalesce(large_line_ratio_365d >= 0.5 and order_count_365d >= 3, false) as boolean) as is_wholesale,
        -- lifecycle_shop: 零售生命周期 · Shop lifecycle (tags/registry/retail.yml)
        cast(case
            when first_order_on is null then null
            when datediff({{ business_date() }}, first_order_on) <= 30 then 'NEW'
            when days_since_last_order <= 90 then 'ACTIVE'
            when days_since_last_order <= 180 then 'LAPSING'
            else 'LOST'
        end as string) as lifecycle_shop,
        -- risk_assessment_state: 风评状态 · Assessment state (tags/registry/risk.yml)
        cast(coalesce(case
            when risk_assessed_until is null then 'NONE'
            when risk_assessed_until < {{ business_date() }} then 'EXPIRED'
            when risk_assessed_until <= date_add({{ business_date() }}, 30) then 'EXP30'
            else 'VALID'
        end, 'NONE') as string) as risk_assessment_state,
        -- days_past_due: 当前逾期天数 · Days past due (tags/registry/risk.yml)
        case when not is_credit_delay_known then null else days_past_due__read end as days_past_due,
        -- has_early_repayment_90d: 近90天提前还款 · Early repayment, 90 days (tags/registry/risk.yml)
        cast(coalesce(has_loan_paid_early_90d or has_loan_prepaid_90d, false) as boolean) as has_early_repayment_90d,
        -- product_class_count: 持有产品大类数 · Product classes held (tags/registry/value.yml)
        cast(coalesce(cast(demand_balance >= 100 as int) + cast(time_deposit_balance > 0 as int) + cast(wealth_balance > 0 as int) + cast(fund_balance > 0 as int) + cast(array_contains(product_classes_held, 'insurance') as int) + cast(array_contains(product_classes_held, 'metal') as int) + cast(has_active_card as int) + cast(loan_balance > 0 as int), 0) as int) as product_class_count,
        -- rfm_recency: RFM-R · Recency score (tags/registry/value.yml)
        cast(case
            when days_since_active_txn <= element_at(coalesce((select max(kept.cuts) from {{ source('tags', 'cut_points') }} kept where kept.tag = 'rfm_recency' and kept.parameter = 'cuts' and kept.valid_from <= {{ business_date() }} and (kept.valid_to is null or kept.valid_to > {{ business_date() }})), cast(array(7, 30, 90, 180) as array<decimal(24,6)>)), 1) then 5
            when days_since_active_txn <= element_at(coalesce((select max(kept.cuts) from {{ source('tags', 'cut_points') }} kept where kept.tag = 'rfm_recency' and kept.parameter = 'cuts' and kept.valid_from <= {{ business_date() }} and (kept.valid_to is null or kept.valid_to > {{ business_date() }})), cast(array(7, 30, 90, 180) as array<decimal(24,6)>)), 2) then 4
            when days_since_active_txn <= element_at(coalesce((select max(kept.cuts) from {{ source('tags', 'cut_points') }} kept where kept.tag = 'rfm_recency' and kept.parameter = 'cuts' and kept.valid_from <= {{ business_date() }} and (kept.valid_to is null or kept.valid_to > {{ business_date() }})), cast(array(7, 30, 90, 180) as array<decimal(24,6)>)), 3) then 3
            when days_since_active_txn <= element_at(coalesce((select max(kept.cuts) from {{ source('tags', 'cut_points') }} kept where kept.tag = 'rfm_recency' and kept.parameter = 'cuts' and kept.valid_from <= {{ business_date() }} and (kept.valid_to is null or kept.valid_to > {{ business_date() }})), cast(array(7, 30, 90, 180) as array<decimal(24,6)>)), 4) then 2
            when days_since_active_txn is not null then 1
        end as int) as rfm_recency,
        -- is_first_loan_eligible: 首贷潜客 · First-loan eligible (tags/registry/value.yml)
        cast(coalesce(is_open_to_first_loan and (income_band is not null or is_payroll), false) as boolean) as is_first_loan_eligible
    from read
),

layer_2 as (
    select
        *,
        -- is_second_card_candidate: 二卡潜客 · Second-card candidate (tags/registry/behaviour.yml)
        cast(coalesce(active_credit_card_count = 1 and active_credit_card_days >= 180 and card_utilisation_ratio < 0.8 and days_past_due = 0, false) as boolean) as is_second_card_candidate,
        -- lifecycle_mau: 生命周期·MAU轨 · Lifecycle, MAU track (tags/registry/lifecycle.yml)
        cast(case
            when not is_app_registered then 'POTENTIAL'
            when app_registered_days <= 30 then 'NEW'
            when days_since_login <= 30 and has_key_action_30d then 'MATURE'
            when days_since_login <= 30 then 'GROW'
            when days_since_login <= 60 then 'SILENT'
            when days_since_login <= 180 then 'LOST'
            else 'DORMANT'
        end as string) as lifecycle_mau,
        -- new_customer_day: 新客第几天 · New-customer day (tags/registry/lifecycle.yml)
        case when tenure_days > 100 then null else case when not is_opening_day_known then null else cast(case
            when tenure_days <= 100 then tenure_days
        end as int) end end as new_customer_day,
        -- is_dormant: 睡眠户 · Dormant (tags/registry/lifecycle.yml)
        cast(coalesce(tenure_days is not null and coalesce(days_since_active_txn >= 365, true) and aum_eod <= 10 and loan_balance = 0 and wealth_balance = 0 and fund_balance = 0 and not array_contains(product_classes_held, 'custody') and not has_repayment_contract and exists(account_types_held, t -> t not in ('social_security', 'housing_fund')), false) as boolean) as is_dormant,
        -- max_sellable_risk: 可售最高产品等级 · Highest sellable risk (tags/registry/risk.yml)
        case when risk_assessment_state not in ('VALID', 'EXP30') then null else cast(case
            when risk_assessment_state in ('VALID', 'EXP30') then concat('R', substr(risk_capacity, 2))
        end as string) end as max_sellable_risk,
        -- overdue_bucket: 逾期账龄 · Overdue bucket (tags/registry/risk.yml)
        case when not is_credit_delay_known then null else cast(case
            when days_past_due = 0 then 'M0'
            when days_past_due <= 30 then 'M1'
            when days_past_due <= 60 then 'M2'
            when days_past_due <= 90 then 'M3'
            when days_past_due > 90 then 'M4P'
        end as string) end as overdue_bucket,
        -- aum_avg_last_month: 上月日均AUM · Average AUM, last month (tags/registry/value.yml)
        case when tenure_days < day({{ business_date() }}) then null else aum_avg_last_month__read end as aum_avg_last_month,
        -- rfm_frequency: RFM-F · Frequency score (tags/registry/value.yml)
        cast(case
            when tenure_days is null then null
            when active_txn_days_180d > element_at(coalesce((select max(kept.cuts) from {{ source('tags', 'cut_points') }} kept where kept.tag = 'rfm_frequency' and kept.parameter = 'cuts' and kept.valid_from <= {{ business_date() }} and (kept.valid_to is null or kept.valid_to > {{ business_date() }})), cast(array(2, 7, 17, 35) as array<decimal(24,6)>)), 4) then 5
            when active_txn_days_180d > element_at(coalesce((select max(kept.cuts) from {{ source('tags', 'cut_points') }} kept where kept.tag = 'rfm_frequency' and kept.parameter = 'cuts' and kept.valid_from <= {{ business_date() }} and (kept.valid_to is null or kept.valid_to > {{ business_date() }})), cast(array(2, 7, 17, 35) as array<decimal(24,6)>)), 3) then 4
            when active_txn_days_180d > element_at(coalesce((select max(kept.cuts) from {{ source('tags', 'cut_points') }} kept where kept.tag = 'rfm_frequency' and kept.parameter = 'cuts' and kept.valid_from <= {{ business_date() }} and (kept.valid_to is null or kept.valid_to > {{ business_date() }})), cast(array(2, 7, 17, 35) as array<decimal(24,6)>)), 2) then 3
            when active_txn_days_180d > element_at(coalesce((select max(kept.cuts) from {{ source('tags', 'cut_points') }} kept where kept.tag = 'rfm_frequency' and kept.parameter = 'cuts' and kept.valid_from <= {{ business_date() }} and (kept.valid_to is null or kept.valid_to > {{ business_date() }})), cast(array(2, 7, 17, 35) as array<decimal(24,6)>)), 1) then 2
            else 1
        end as int) as rfm_frequency
    from layer_1
),

layer_3 as (
    select
        *,
        -- has_suitability_mismatch: 持仓错配 · Suitability mismatch (tags/registry/risk.yml)
        cast(case
            when max_sellable_risk is not null then coalesce(max_held_risk > max_sellable_risk, false)
        end as boolean) as has_suitability_mismatch,
        -- aum_tier: 资产层级 · AUM tier (tags/registry/value.yml)
        cast(case
            when tenure_days is null then null
            when coalesce(aum_avg_last_month, aum_avg_month_to_date) < 10000 then 'T0'
            when coalesce(aum_avg_last_month, aum_avg_month_to_date) < 50000 then 'T1'
            when coalesce(aum_avg_last_month, aum_avg_month_to_date) < 500000 then 'T2'
            when coalesce(aum_avg_last_month, aum_avg_month_to_date) < 6000000 then 'T3'
            else 'T4'
        end as string) as aum_tier,
        -- aum_change_3m_ratio: 近3月AUM变动率 · AUM change, 3 months (tags/registry/value.yml)
        case when aum_avg_lm_3 < 1000 then null else cast(case
            when aum_avg_lm_3 >= 1000 then aum_avg_last_month / aum_avg_lm_3 - 1
        end as decimal(18,6)) end as aum_change_3m_ratio,
        -- rfm_monetary: RFM-M · Monetary score (tags/registry/value.yml)
        cast(case
            when aum_avg_last_month > element_at(coalesce((select max(kept.cuts) from {{ source('tags', 'cut_points') }} kept where kept.tag = 'rfm_monetary' and kept.parameter = 'cuts' and kept.valid_from <= {{ business_date() }} and (kept.valid_to is null or kept.valid_to > {{ business_date() }})), cast(array(1000, 10000, 50000, 500000) as array<decimal(24,6)>)), 4) then 5
            when aum_avg_last_month > element_at(coalesce((select max(kept.cuts) from {{ source('tags', 'cut_points') }} kept where kept.tag = 'rfm_monetary' and kept.parameter = 'cuts' and kept.valid_from <= {{ business_date() }} and (kept.valid_to is null or kept.valid_to > {{ business_date() }})), cast(array(1000, 10000, 50000, 500000) as array<decimal(24,6)>)), 3) then 4
            when aum_avg_last_month > element_at(coalesce((select max(kept.cuts) from {{ source('tags', 'cut_points') }} kept where kept.tag = 'rfm_monetary' and kept.parameter = 'cuts' and kept.valid_from <= {{ business_date() }} and (kept.valid_to is null or kept.valid_to > {{ business_date() }})), cast(array(1000, 10000, 50000, 500000) as array<decimal(24,6)>)), 2) then 3
            when aum_avg_last_month > element_at(coalesce((select max(kept.cuts) from {{ source('tags', 'cut_points') }} kept where kept.tag = 'rfm_monetary' and kept.parameter = 'cuts' and kept.valid_from <= {{ business_date() }} and (kept.valid_to is null or kept.valid_to > {{ business_date() }})), cast(array(1000, 10000, 50000, 500000) as array<decimal(24,6)>)), 1) then 2
            when aum_avg_last_month is not null then 1
        end as int) as rfm_monetary
    from layer_2
),

layer_4 as (
    select
        *,
        -- lifecycle_aum: 生命周期·AUM轨 · Lifecycle, AUM track (tags/registry/lifecycle.yml)
        case when not is_opening_day_known then null else cast(case
            when tenure_days is null then null
            when tenure_days <= 100 then 'NEW'
            when aum_max_monthly_avg_6m < 100 then 'ZERO'
            when aum_change_3m_ratio <= -0.5 and aum_max_monthly_avg_6m >= 10000 then 'LOST'
            when aum_change_3m_ratio <= -0.2 then 'DOWN'
            when aum_change_3m_ratio >= 0.2 then 'UP'
            else 'STABLE'
        end as string) end as lifecycle_aum,
        -- is_downgrade_risk: 降级风险 · Downgrade risk (tags/registry/lifecycle.yml)
        cast(coalesce(case
            when aum_tier = 'T2' then aum_avg_month_to_date < 50000
            when aum_tier = 'T3' then aum_avg_month_to_date < 500000
            when aum_tier = 'T4' then aum_avg_month_to_date < 6000000
        end, false) as boolean) as is_downgrade_risk,
        -- aum_gap_to_next_tier: 距上层级差额 · Gap to next tier (tags/registry/value.yml)
        case when aum_tier = 'T4' then null else cast(case
            when aum_tier = 'T0' then 10000 - coalesce(aum_avg_last_month, aum_avg_month_to_date)
            when aum_tier = 'T1' then 50000 - coalesce(aum_avg_last_month, aum_avg_month_to_date)
            when aum_tier = 'T2' then 500000 - coalesce(aum_avg_last_month, aum_avg_month_to_date)
            when aum_tier = 'T3' then 6000000 - coalesce(aum_avg_last_month, aum_avg_month_to_date)
        end as decimal(18,2)) end as aum_gap_to_next_tier,
        -- rfm_group: RFM客群 · RFM group (tags/registry/value.yml)
        cast(case
            when rfm_recency is null or rfm_frequency is null or rfm_monetary is null then null
            when rfm_monetary >= 4 and rfm_recency >= 4 and rfm_frequency >= 4 then 'IMPORTANT_VALUE'
            when rfm_monetary >= 4 and rfm_recency >= 4 then 'IMPORTANT_DEV'
            when rfm_monetary >= 4 and rfm_frequency >= 4 then 'IMPORTANT_KEEP'
            when rfm_monetary >= 4 then 'IMPORTANT_WINBACK'
            when rfm_recency >= 4 and rfm_frequency >= 4 then 'GEN_VALUE'
            when rfm_recency >= 4 then 'GEN_DEV'
            when rfm_frequency >= 4 then 'GEN_KEEP'
            else 'GEN_WINBACK'
        end as string) as rfm_group
    from layer_3
)

select
    one_id,
    kind,
    gender,
    age,
    age_band,
    city_tier,
    home_branch,
    occupation_class,
    tenure_days,
    id_document_state,
    has_relationship_manager,
    is_staff,
    special_groups,
    has_medical_insurance,
    education,
    income_band,
    marital_state,
    family_role,
    is_mau,
    is_dau,
    login_days_30d,
    days_since_login,
    days_since_active_txn,
    active_txn_count_90d,
    active_txn_amount_90d,
    has_key_action_30d,
    wealth_view_count_7d,
    wealth_funnel_break_7d,
    top_spend_category_90d,
    has_wallet_bound,
    channel_habit,
    large_inflow_7d,
    large_outflow_7d,
    card_lifecycle,
    is_second_card_candidate,
    has_transaction_alerts,
    referral_count_365d,
    has_dropped_out_of_activity_7d,
    top_interest_30d,
    content_view_count_30d,
    preferred_hour_band,
    preferred_device,
    search_topics_30d,
    lifecycle_mau,
    lifecycle_aum,
    new_customer_day,
    is_dormant,
    is_downgrade_risk,
    scenario_ladder,
    reachable_channels,
    is_do_not_disturb,
    touch_count_7d,
    days_since_response,
    fatigue,
    is_global_control,
    no_response_state,
    points_balance,
    points_expiring_30d,
    acquisition_channel,
    acquisition_campaign,
    id_document_valid_until,
    is_deceased,
    aum_avg_month_to_date,
    aum_avg_lm_3,
    aum_max_monthly_avg_6m,
    product_classes_held,
    account_types_held,
    has_repayment_contract,
    has_active_card,
    active_txn_days_180d,
    has_key_transaction_30d,
    days_since_wallet_bound,
    wallet_bind_count_30d,
    risk_assessed_until,
    max_held_risk,
    is_app_registered,
    app_registered_days,
    touch_count_30d,
    touch_channel_count_30d,
    assigned_global_control,
    large_line_ratio_365d,
    is_parent,
    has_school_fee_365d,
    is_merchant,
    is_new_in_city,
    is_open_to_first_loan,
    has_running_loan,
    has_loan_paid_early_90d,
    has_loan_prepaid_90d,
    has_financial_product,
    has_bill_paid_180d,
    has_scene_lead_180d,
    has_activity_180d,
    active_credit_card_count,
    active_credit_card_days,
    is_opening_day_known,
    is_credit_delay_known,
    order_count_365d,
    net_spend_365d,
    average_order_value,
    return_ratio_365d,
    days_since_last_order,
    first_order_on,
    top_category_365d,
    distinct_product_count_365d,
    purchase_interval_days,
    shop_rfm_group,
    is_wholesale,
    lifecycle_shop,
    risk_capacity,
    risk_assessment_state,
    max_sellable_risk,
    has_suitability_mismatch,
    card_utilisation_ratio,
    days_past_due,
    overdue_bucket,
    loan_class_worst,
    overdue_count_12m,
    aml_grade,
    is_account_controlled,
    has_early_repayment_90d,
    aum_eod,
    aum_avg_last_month,
    aum_tier,
    aum_gap_to_next_tier,
    aum_change_3m_ratio,
    demand_balance,
    time_deposit_balance,
    wealth_balance,
    fund_balance,
    loan_balance,
    product_class_count,
    days_to_next_maturity,
    is_payroll,
    payroll_avg_amount,
    payday,
    payroll_retention_ratio_7d,
    rfm_recency,
    rfm_frequency,
    rfm_monetary,
    rfm_group,
    contribution_12m,
    is_first_loan_eligible,
    has_repeat_purchase_180d,
    cast(array_compact(array(
        case when aum_avg_last_month is null and (tenure_days < day({{ business_date() }}))
            then named_struct('tag', 'aum_avg_last_month', 'reason', 'not_applicable') end,
        case when days_past_due is null and (not is_credit_delay_known)
            then named_struct('tag', 'days_past_due', 'reason', 'unknown') end,
        case when is_dau is null and (not is_app_registered)
            then named_struct('tag', 'is_dau', 'reason', 'not_applicable') end,
        case when is_mau is null and (not is_app_registered)
            then named_struct('tag', 'is_mau', 'reason', 'not_applicable') end,
        case when lifecycle_aum is null and (not is_opening_day_known)
            then named_struct('tag', 'lifecycle_aum', 'reason', 'unknown') end,
        case when login_days_30d is null and (not is_app_registered)
            then named_struct('tag', 'login_days_30d', 'reason', 'not_applicable') end,
        case when new_customer_day is null and (not is_opening_day_known)
            then named_struct('tag', 'new_customer_day', 'reason', 'unknown') end,
        case when overdue_bucket is null and (not is_credit_delay_known)
            then named_struct('tag', 'overdue_bucket', 'reason', 'unknown') end,
        case when tenure_days is null and (not is_opening_day_known)
            then named_struct('tag', 'tenure_days', 'reason', 'unknown') end
    )) as array<struct<tag:string,reason:string>>) as null_exceptions,
    read_sources,
    concat(lost_answers, array_compact(array(
        case when age_band is null and age is not null
            then 'age_band' end,
        case when id_document_state is null and id_document_valid_until is not null
            then 'id_document_state' end,
        case when lifecycle_aum is null and tenure_days is not null and is_opening_day_known is not null and aum_change_3m_ratio is not null and aum_max_monthly_avg_6m is not null and not coalesce(not is_opening_day_known, false)
            then 'lifecycle_aum' end,
        case when new_customer_day is null and tenure_days is not null and is_opening_day_known is not null and not coalesce(not is_opening_day_known, false) and not coalesce(tenure_days > 100, false)
            then 'new_customer_day' end,
        case when scenario_ladder is null and has_financial_product is not null and has_running_loan is not null and has_bill_paid_180d is not null and days_since_wallet_bound is not null and has_scene_lead_180d is not null and has_activity_180d is not null and active_txn_days_180d is not null and not coalesce(not (has_financial_product or has_running_loan or has_bill_paid_180d or has_scene_lead_180d or has_activity_180d or coalesce(days_since_wallet_bound < 180, false) or active_txn_days_180d > 0), false)
            then 'scenario_ladder' end,
        case when shop_rfm_group is null and days_since_last_order is not null and order_count_365d is not null and net_spend_365d is not null
            then 'shop_rfm_group' end,
        case when lifecycle_shop is null and first_order_on is not null and days_since_last_order is not null
            then 'lifecycle_shop' end,
        case when max_sellable_risk is null and risk_capacity is not null and risk_assessment_state is not null and not coalesce(risk_assessment_state not in ('VALID', 'EXP30'), false)
            then 'max_sellable_risk' end,
        case when has_suitability_mismatch is null and max_sellable_risk is not null and max_held_risk is not null
            then 'has_suitability_mismatch' end,
        case when overdue_bucket is null and days_past_due is not null and is_credit_delay_known is not null and not coalesce(not is_credit_delay_known, false)
            then 'overdue_bucket' end,
        case when aum_tier is null and aum_avg_last_month is not null and aum_avg_month_to_date is not null and tenure_days is not null
            then 'aum_tier' end,
        case when aum_gap_to_next_tier is null and aum_avg_last_month is not null and aum_avg_month_to_date is not null and aum_tier is not null and not coalesce(aum_tier = 'T4', false)
            then 'aum_gap_to_next_tier' end,
        case when aum_change_3m_ratio is null and aum_avg_last_month is not null and aum_avg_lm_3 is not null and not coalesce(aum_avg_lm_3 < 1000, false)
            then 'aum_change_3m_ratio' end,
        case when rfm_recency is null and days_since_active_txn is not null
            then 'rfm_recency' end,
        case when rfm_frequency is null and active_txn_days_180d is not null and tenure_days is not null
            then 'rfm_frequency' end,
        case when rfm_monetary is null and aum_avg_last_month is not null
            then 'rfm_monetary' end,
        case when rfm_group is null and rfm_recency is not null and rfm_frequency is not null and rfm_monetary is not null
            then 'rfm_group' end
    ))) as unexplained_nulls,
    {{ business_date() }} as as_of
from layer_4
