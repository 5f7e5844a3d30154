"""The fixed lists of the simulated bank: names, cities, products, occupations, merchant categories."""

from __future__ import annotations

SURNAMES = "王李张刘陈杨黄赵吴周徐孙马朱胡郭何高林罗郑梁谢宋唐许韩冯邓曹彭曾肖田董袁潘于蒋蔡余杜叶程苏魏吕丁任沈姚卢姜崔钟谭陆汪范"
SURNAME_PINYIN = [
    "wang",
    "li",
    "zhang",
    "liu",
    "chen",
    "yang",
    "huang",
    "zhao",
    "wu",
    "zhou",
    "xu",
    "sun",
    "ma",
    "zhu",
    "hu",
    "guo",
    "he",
    "gao",
    "lin",
    "luo",
    "zheng",
    "liang",
    "xie",
    "song",
    "tang",
    "xu",
    "han",
    "feng",
    "deng",
    "cao",
    "peng",
    "zeng",
    "xiao",
    "tian",
    "dong",
    "yuan",
    "pan",
    "yu",
    "jiang",
    "cai",
    "yu",
    "du",
    "ye",
    "cheng",
    "su",
    "wei",
    "lv",
    "ding",
    "ren",
    "shen",
    "yao",
    "lu",
    "jiang",
    "cui",
    "zhong",
    "tan",
    "lu",
    "wang",
    "fan",
]
GIVEN_NAMES = "伟芳娜敏静丽强磊军洋勇艳杰娟涛明超秀霞平刚桂英华玉兰建国文红梅林志云海波鑫宇婷欣雨晨浩然子涵梓轩佳怡思远博嘉琪瑞宁凯航晓彤可心一诺俊熙天翔春燕学东永健德福长庚"
GIVEN_NAME_PINYIN = [
    "wei",
    "fang",
    "na",
    "min",
    "jing",
    "li",
    "qiang",
    "lei",
    "jun",
    "yang",
    "yong",
    "yan",
    "jie",
    "juan",
    "tao",
    "ming",
    "chao",
    "xiu",
    "xia",
    "ping",
    "gang",
    "gui",
    "ying",
    "hua",
    "yu",
    "lan",
    "jian",
    "guo",
    "wen",
    "hong",
    "mei",
    "lin",
    "zhi",
    "yun",
    "hai",
    "bo",
    "xin",
    "yu",
    "ting",
    "xin",
    "yu",
    "chen",
    "hao",
    "ran",
    "zi",
    "han",
    "zi",
    "xuan",
    "jia",
    "yi",
    "si",
    "yuan",
    "bo",
    "jia",
    "qi",
    "rui",
    "ning",
    "kai",
    "hang",
    "xiao",
    "tong",
    "ke",
    "xin",
    "yi",
    "nuo",
    "jun",
    "xi",
    "tian",
    "xiang",
    "chun",
    "yan",
    "xue",
    "dong",
    "yong",
    "jian",
    "de",
    "fu",
    "chang",
    "geng",
]
MINORITY_NAMES = [
    "阿依努尔·买买提",
    "古丽娜尔·艾合买提",
    "迪丽拜尔·吐尔逊",
    "巴特尔·苏和",
    "扎西·顿珠",
    "卓玛·央金",
]

# (city code, name, English name, tier)
CITIES = [
    ("310100", "上海", "Shanghai", "T1"), ("110100", "北京", "Beijing", "T1"), ("440100", "广州", "Guangzhou", "T1"),
    ("440300", "深圳", "Shenzhen", "T1"), ("330100", "杭州", "Hangzhou", "NT1"), ("320100", "南京", "Nanjing", "NT1"),
    ("320500", "苏州", "Suzhou", "NT1"), ("510100", "成都", "Chengdu", "NT1"), ("420100", "武汉", "Wuhan", "NT1"),
    ("610100", "西安", "Xi'an", "NT1"), ("370200", "青岛", "Qingdao", "NT1"), ("330200", "宁波", "Ningbo", "NT1"),
    ("350100", "福州", "Fuzhou", "T2"), ("360100", "南昌", "Nanchang", "T2"), ("530100", "昆明", "Kunming", "T2"),
    ("370100", "济南", "Jinan", "T2"), ("330300", "温州", "Wenzhou", "T2"), ("320400", "常州", "Changzhou", "T2"),
    ("410300", "洛阳", "Luoyang", "T3"), ("330800", "衢州", "Quzhou", "T3"), ("341200", "阜阳", "Fuyang", "T3"),
    ("430700", "常德", "Changde", "T3"), ("510700", "绵阳", "Mianyang", "T3"), ("360700", "赣州", "Ganzhou", "T3"),
    ("411700", "驻马店", "Zhumadian", "T4P"), ("532300", "楚雄", "Chuxiong", "T4P"), ("621200", "陇南", "Longnan", "T4P"),
    ("520600", "铜仁", "Tongren", "T4P"), ("451000", "百色", "Baise", "T4P"), ("230900", "七台河", "Qitaihe", "T4P"),
]  # fmt: skip
CITY_WEIGHTS = [9, 8, 6, 6, 7, 6, 5, 5, 5, 4, 3, 3, 3, 2, 2, 3, 2, 2, 2, 2, 2, 2, 2, 2, 1, 1, 1, 1, 1, 1]

OCCUPATIONS = [
    ("PUBLIC", "公务员及事业单位", "Public service"), ("PROFESSIONAL", "专业技术人员", "Professional"),
    ("COMPANY", "企业职员", "Company employee"), ("SELF", "个体工商户", "Self-employed"), ("WORKER", "产业工人", "Worker"),
    ("FARMER", "农林牧渔", "Farmer"), ("RETIRED", "离退休", "Retired"), ("STUDENT", "学生", "Student"), ("OTHER", "其他", "Other"),
]  # fmt: skip
EDUCATIONS = ["PRIMARY", "SECONDARY", "COLLEGE", "BACHELOR", "MASTER"]
INCOME_BANDS = ["LT5K", "5K-10K", "10K-20K", "20K-50K", "GE50K"]
ACQUISITION_CHANNELS = ["BRANCH", "APP", "WECHAT", "PARTNER", "REFERRAL", "PAYROLL"]

# (merchant category, group, Chinese, English)
MERCHANTS = [
    ("5411", "GROCERY", "超市", "Grocery"), ("5812", "DINING", "餐饮", "Dining"), ("5541", "TRANSPORT", "加油", "Fuel"),
    ("4111", "TRANSPORT", "公共交通", "Transport"), ("5651", "CLOTHING", "服饰", "Clothing"), ("5732", "ELECTRONICS", "电子", "Electronics"),
    ("7011", "TRAVEL", "酒店", "Hotel"), ("8211", "EDUCATION", "学校", "Schools"), ("8062", "HEALTH", "医院", "Hospital"),
    ("7832", "LEISURE", "影院", "Cinema"), ("5977", "BEAUTY", "美妆", "Beauty"), ("5311", "DEPARTMENT", "百货", "Department store"),
]  # fmt: skip
MERCHANT_WEIGHTS = [20, 18, 8, 10, 9, 5, 4, 3, 5, 4, 5, 9]

# (product, name, class, risk, term in days)
PRODUCTS = [
    ("DM001", "活期储蓄", "DEMAND", None, None), ("DM002", "工资结算户", "DEMAND", None, None), ("SS001", "社保账户", "DEMAND", None, None),
    ("TD090", "三个月定期", "TIME", None, 90), ("TD365", "一年定期", "TIME", None, 365), ("TD1095", "三年定期", "TIME", None, 1095),
    ("WM030", "月月盈30天", "WEALTH", "R1", 30), ("WM090", "季享90天", "WEALTH", "R2", 90), ("WM180", "稳健180天", "WEALTH", "R2", 180),
    ("WM365", "进取一年期", "WEALTH", "R3", 365), ("WM366", "私享一年期", "WEALTH", "R4", 365),
    ("FD001", "货币基金", "FUND", "R1", None), ("FD002", "混合基金", "FUND", "R3", None), ("FD003", "股票基金", "FUND", "R5", None),
    ("LN001", "个人消费贷款", "LOAN", None, None), ("LN002", "个人住房贷款", "LOAN", None, None),
    ("CD001", "借记卡", "CARD", None, None), ("CC001", "标准信用卡", "CARD", None, None), ("CC002", "白金信用卡", "CARD", None, None),
]  # fmt: skip

PHONE_PREFIXES = [130, 131, 132, 133, 135, 136, 137, 138, 139, 150, 151, 152, 153, 155, 156, 157, 158, 159, 166, 176, 177, 178, 180, 181,
                  182, 183, 185, 186, 187, 188, 189, 191, 198, 199]  # fmt: skip
PLACEHOLDER_PHONES = ["13800138000", "13888888888", "11111111111", "00000000000"]
PLACEHOLDER_IDS = ["000000000000000000", "111111111111111111", "123456789012345678", "无"]
PLACEHOLDER_DEVICES = ["00000000-0000-0000-0000-000000000000", "02:00:00:00:00:00", "unknown"]

# Scenes of daily life at partners: (code, Chinese, English, rung)
SCENES = [
    ("PARKING", "停车缴费", "Parking", "NON_FINANCIAL"), ("CANTEEN", "食堂", "Canteen", "CASH_FLOW"), ("CLINIC", "诊所", "Clinic", "NON_FINANCIAL"),
    ("SCHOOL_FEE", "学杂费", "School fees", "CASH_FLOW"), ("CAR_INSURANCE", "车险", "Car insurance", "QUASI_FINANCIAL"),
    ("INSTALMENT", "分期购", "Instalment purchase", "FINANCIAL"),
]  # fmt: skip
INSURANCE_SCENE = 4

# What people call about
CALL_REASONS = [
    "BALANCE_QUERY",
    "CARD_LOSS",
    "COMPLAINT",
    "PRODUCT_ENQUIRY",
    "OUTBOUND_ANSWERED",
    "REMOTE_VIDEO",
    "ERASURE_REQUEST",
]
CALL_WEIGHTS = [0.36, 0.12, 0.06, 0.22, 0.14, 0.10]

# (article, Chinese name, category, price in cents)
ARTICLES = [
    ("S001", "东北大米5kg", "FOOD", 4_990), ("S002", "菜籽油5L", "FOOD", 7_890), ("S003", "保温杯", "HOME", 8_900), ("S004", "空气炸锅", "HOME", 29_900),
    ("S005", "蓝牙耳机", "ELECTRONICS", 39_900), ("S006", "充电宝", "ELECTRONICS", 12_900), ("S007", "加油卡100元", "TRANSPORT", 10_000),
    ("S008", "影票兑换券", "LEISURE", 3_500), ("S009", "体检套餐", "HEALTH", 59_900), ("S010", "婴儿湿巾", "BABY", 2_990),
]  # fmt: skip

# The bank's campaigns: (campaign, Chinese name, channel, first day before the first night, length in days)
CAMPAIGNS = [
    ("CMP000", "开门红存款", "SMS", 320, 60), ("CMP001", "首投礼遇", "PUSH", 200, 90), ("CMP002", "信用卡激活", "SMS", 150, 45), ("CMP003", "养老金专享", "BRANCH", 140, 120),
    ("CMP004", "理财到期接续", "WECHAT", 90, 180), ("CMP005", "沉默唤醒", "WECHAT", 60, 90), ("CMP006", "积分商城周年", "INAPP", 40, 30), ("CMP007", "企微关怀", "WECOM", 30, 60),
    ("CMP008", "车险季", "CALL", 25, 60), ("CMP009", "新客百日", "PUSH", 20, 100), ("CMP010", "亲子理财", "EMAIL", 15, 30), ("CMP011", "年终冲刺", "SMS", -10, 40),
]  # fmt: skip
